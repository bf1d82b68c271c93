"""Turns as the messages of a kept conversation, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from ui.client import Citation, GatewayError, Json, Unverified, Usage
from ui.conversation import Choice, Side, Turn
from ui.markup import CONTEXT
from ui.passage import Passage
from ui.reply import Phase, Reply
from ui.settings import Settings


def question_of(turn: Turn) -> Json:
    """The message of a turn's question."""
    settings: Json = {"order": list(turn.order), "blind": turn.blind}
    if turn.replaces:
        settings["replaces"] = turn.replaces.item
    return {"type": "message", "role": "user", "content": turn.question, "settings": settings}


def answer_of(turn: Turn, side: Side) -> Json:
    """The message of one side's answer, as far as it has come."""
    reply, choice = turn.replies[side], turn.choices[side]
    message: Json = {
        "type": "message",
        "role": "assistant",
        "status": _status(reply),
        "content": reply.text,
        "question_id": turn.item,
        "side": side,
        "model": choice.model,
        "settings": {
            "vector_stores": list(choice.stores),
            "own_documents": choice.own_documents,
            "assistant": choice.assistant,
            **turn.settings.kept(),
        },
        "figures": _figures(reply),
    }
    if reply.thinking:
        message["thinking"] = reply.thinking
    if reply.finish:
        message["finish_reason"] = reply.finish
    if reply.error:
        message["error"] = {"type": reply.error.kind, "message": reply.error.detail[:4096]}
    if reply.citations is not None:
        message["citations"] = [_cited(each, reply.passages) for each in reply.citations]
    if reply.unverified:
        message["unverified"] = [asdict(each) for each in reply.unverified]
    return message


def turns_of(items: Iterable[Json]) -> list[Turn]:
    """The turns that these messages, the oldest first, were made of. An answer that was never finished is as far as it came."""
    turns: dict[str, Turn] = {}
    for item in items:
        side = item.get("side")
        if item["role"] == "user":
            asked = _turn(item)
            asked.replaces = turns.get((item.get("settings") or {}).get("replaces", ""))
            turns[asked.item] = asked
        elif side in set(Side) and (turn := turns.get(item.get("question_id", ""))):
            place = Side(side)
            turn.answers[place] = item["id"]
            turn.choices[place] = _choice(item)
            turn.settings = Settings.of(item.get("settings") or {})
            turn.replies[place] = _reply(item)
    return [_in_order(turn) for turn in turns.values() if turn.replies]


def _status(reply: Reply) -> str:
    if reply.running:
        return "in_progress"
    whole = reply.phase is Phase.DONE and reply.finish != "length"
    return "completed" if whole else "incomplete"


def _figures(reply: Reply) -> Json:
    """Seconds and tokens, as far as they are known."""
    figures: Json = {"total": round(reply.elapsed, 3)}
    if reply.to_first is not None:
        figures["first_token"] = round(reply.to_first, 3)
    if reply.rate is not None:
        figures["tokens_per_second"] = round(reply.rate, 2)
    if reply.usage:
        figures |= {
            "prompt_tokens": reply.usage.prompt,
            "completion_tokens": reply.usage.completion,
        }
    return figures


def _cited(citation: Citation, passages: dict[int, Passage]) -> Json:
    cited = {name: value for name, value in asdict(citation).items() if value is not None}
    if passage := passages.get(citation.marker):
        runs = passage.excerpt(CONTEXT).runs
        cited["excerpt"] = [{"text": text, "marked": marked} for text, marked in runs]
    return cited


def _text(item: Json) -> str:
    return "".join(part["text"] for part in item["content"])


def _choice(item: Json) -> Choice:
    settings = item.get("settings") or {}
    return Choice(
        item.get("model") or "",
        tuple(settings.get("vector_stores") or ()),
        own_documents=bool(settings.get("own_documents")),
        assistant=bool(settings.get("assistant")),
    )


def _reply(item: Json) -> Reply:
    figures, error, cited = item.get("figures") or {}, item.get("error"), item.get("citations")
    finish = item.get("finish_reason")
    usage = Usage(int(figures.get("prompt_tokens", 0)), int(figures.get("completion_tokens", 0)))
    return Reply(
        grounded=_choice(item).grounded(Side(item["side"])),
        phase=Phase.FAILED
        if error
        else Phase.DONE
        if item["status"] == "completed" or finish
        else Phase.STOPPED,
        # What was kept is told from its thinking already.
        content=_text(item),
        reasoning=item.get("thinking") or "",
        citations=None if cited is None else tuple(_citation(each) for each in cited),
        unverified=tuple(
            Unverified(each.get("law"), each.get("article"), each.get("nearest"))
            for each in item.get("unverified") or ()
        ),
        passages={each["marker"]: _passage(each["excerpt"]) for each in cited or () if each.get("excerpt")},
        usage=usage if "completion_tokens" in figures else None,
        finish=finish,
        error=GatewayError(error["type"], error.get("message", "")) if error else None,
        started=0.0,
        first=figures.get("first_token"),
        ended=figures.get("total", 0.0),
    )


def _citation(item: Json) -> Citation:
    known = Citation.__dataclass_fields__.keys()
    return Citation(**{name: value for name, value in item.items() if name in known})


def _passage(runs: Sequence[Json]) -> Passage:
    return Passage(tuple((run["text"], bool(run.get("marked"))) for run in runs))


def _turn(item: Json) -> Turn:
    settings = item.get("settings") or {}
    named = [Side(side) for side in settings.get("order") or () if side in set(Side)]
    # A side that the order does not name stands to the right of those that it does.
    order = tuple(dict.fromkeys([*named, *Side]))
    blind = bool(settings.get("blind"))
    return Turn(_text(item), {}, {}, item=item["id"], order=order, blind=blind, recalled=True)


def _in_order(turn: Turn) -> Turn:
    """The turn with its sides as they stood; one whose question alone was kept shows nothing on that side."""
    turn.order = tuple(side for side in turn.order if side in turn.replies)
    return turn
