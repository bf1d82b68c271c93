"""Turns as the messages of a kept conversation, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

from ui.client import Citation, GatewayError, Json, Unverified, Usage, citation
from ui.conversation import Choice, Side, Turn
from ui.markup import CONTEXT
from ui.passage import Passage
from ui.pictures import Picture
from ui.reply import Phase, Reply
from ui.settings import Settings

NAME = 200  # characters of a picture's name


def question_of(turn: Turn) -> Json:
    """The message of a turn's question."""
    settings: Json = {"order": list(turn.order), "blind": turn.blind}
    if turn.replaces:
        settings["replaces"] = turn.replaces.item
    if turn.pictures:
        settings["pictures"] = [picture.name[:NAME] for picture in turn.pictures]
    return {"type": "message", "role": "user", "content": _asked(turn), "settings": settings}


def answer_of(turn: Turn, side: Side, reply: Reply) -> Json:
    """The message of one side's answer, as far as it has come."""
    choice = turn.choices[side]
    message: Json = {
        "type": "message",
        "role": "assistant",
        "status": _status(reply),
        "content": reply.text,
        "question_id": turn.item,
        "side": side,
        "model": choice.model,
        "settings": settings_of(choice, turn.settings),
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
    if reply.uncited:
        message["uncited"] = [_found(each) for each in reply.uncited]
    return message


Read = Callable[[str, int], bytes]
"""Reads a picture: by the item that holds it, and its number there, from 1."""


def turns_of(items: Iterable[Json], read: Read | None = None) -> list[Turn]:
    """The turns that these messages, the oldest first, were made of, but for questions that nobody began to answer."""
    return [_in_order(turn) for turn in asked(items, read) if turn.replies]


def asked(items: Iterable[Json], read: Read | None = None) -> list[Turn]:
    """Every question among these messages, the oldest first, with its answers, each as far as it came."""
    turns: dict[str, Turn] = {}
    for item in items:
        side = item.get("side")
        if item["role"] == "user":
            fresh = _turn(item)
            fresh.pictures = tuple(_pictures(item, read)) if read else ()
            fresh.replaces = turns.get((item.get("settings") or {}).get("replaces", ""))
            turns[fresh.item] = fresh
        elif side in set(Side) and (turn := turns.get(item.get("question_id", ""))):
            place = Side(side)
            turn.answers[place] = item["id"]
            turn.choices[place] = choice_of(item)
            turn.settings = Settings.of(item.get("settings") or {})
            turn.replies[place] = _reply(item)
    return list(turns.values())


def choice_of(item: Json) -> Choice:
    """Who answered by what this message says, or is to answer."""
    settings = item.get("settings") or {}
    return Choice(
        item.get("model") or "",
        tuple(settings.get("vector_stores") or ()),
        own_documents=bool(settings.get("own_documents")),
        assistant=bool(settings.get("assistant")),
        images=settings.get("images") or 0,
    )


def settings_of(choice: Choice, settings: Settings) -> Json:
    """How somebody is asked, as it is kept."""
    return {
        "vector_stores": list(choice.stores),
        "own_documents": choice.own_documents,
        "assistant": choice.assistant,
        "images": choice.images,
        **settings.kept(),
    }


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


def _found(citation: Citation) -> Json:
    """What stands beside an answer that does not cite it: nothing of an answer's is known of it."""
    return {name: value for name, value in _told(citation).items() if name != "verified"}


def _told(citation: Citation) -> Json:
    return {name: value for name, value in asdict(citation).items() if value is not None}


def _cited(citation: Citation, passages: dict[int, Passage]) -> Json:
    cited = _told(citation)
    if passage := passages.get(citation.marker):
        runs = passage.excerpt(CONTEXT).runs
        cited["excerpt"] = [{"text": text, "marked": marked} for text, marked in runs]
    return cited


def _asked(turn: Turn) -> str | list[Json]:
    """The text alone where that is all."""
    if not turn.pictures:
        return turn.question
    shown = [{"type": "input_image", "image_url": picture.url} for picture in turn.pictures]
    return [{"type": "input_text", "text": turn.question}, *shown]


def _text(item: Json) -> str:
    return "".join(part["text"] for part in item["content"] if "text" in part)


def _pictures(item: Json, read: Callable[[str, int], bytes]) -> Iterable[Picture]:
    held = [part["media_type"] for part in item["content"] if part["type"] == "input_image"]
    names = (item.get("settings") or {}).get("pictures") or []
    for number, kind in enumerate(held, start=1):
        name = names[number - 1] if number <= len(names) else str(number)
        yield Picture(name, kind, read(item["id"], number))


def _reply(item: Json) -> Reply:
    figures, error, cited = item.get("figures") or {}, item.get("error"), item.get("citations")
    finish = item.get("finish_reason")
    usage = Usage(int(figures.get("prompt_tokens", 0)), int(figures.get("completion_tokens", 0)))
    return Reply(
        grounded=choice_of(item).grounded(Side(item["side"])),
        phase=Phase.FAILED
        if error
        else Phase.DONE
        if item["status"] == "completed" or finish
        else Phase.STOPPED,
        # What was kept is told from its thinking already.
        content=_text(item),
        reasoning=item.get("thinking") or "",
        citations=None if cited is None else tuple(citation(each) for each in cited),
        unverified=tuple(
            Unverified(each.get("law"), each.get("article"), each.get("nearest"))
            for each in item.get("unverified") or ()
        ),
        uncited=tuple(map(citation, item.get("uncited") or ())),
        passages={each["marker"]: _passage(each["excerpt"]) for each in cited or () if each.get("excerpt")},
        usage=usage if "completion_tokens" in figures else None,
        finish=finish,
        error=GatewayError(error["type"], error.get("message", "")) if error else None,
        started=0.0,
        first=figures.get("first_token"),
        ended=figures.get("total", 0.0),
    )


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
