"""A batch as the messages of a kept conversation, and back.

It begins with a message for each column, which says who answers there and how. Questions and answers are those of any
conversation. Where columns are compared, one more message says who judges what and how, and what the judge said of a
question, in both orders, is a message that belongs to the question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from praxis.judging.pair import Judge
from praxis.judging.rubric import SHIPPED, read
from ui.batch import Batch
from ui.client import GatewayError, Json
from ui.comparison import Comparison, Trial
from ui.conversation import Side
from ui.history import Entry
from ui.messages import asked, choice_of, settings_of
from ui.settings import Settings

COLUMN = "developer"
"""The role of a message that says how others are made."""

JUDGE = "judge"
"""The side of a judge."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """A kept batch with its latest comparison. `judge` is the message that says how it is judged, `verdicts` are those
    of what the judge said, by the question's number."""

    batch: Batch
    comparison: Comparison | None
    judge: str
    verdicts: Mapping[int, str]


def columns_of(batch: Batch) -> list[Json]:
    """The messages of the columns, from left to right."""
    return [
        {
            "role": COLUMN,
            "content": "",
            "side": side,
            "model": choice.model,
            "settings": settings_of(choice, batch.settings),
        }
        for side, choice in batch.choices.items()
    ]


def judge_of(comparison: Comparison) -> Json:
    """The message that says who judges what and how."""
    judge = comparison.judge
    settings = {
        "comparison": comparison.id,
        "sides": list(comparison.sides),
        "rubric": judge.rubric.name,
        "language": judge.language,
        "max_tokens": judge.max_tokens,
    }
    return {"role": COLUMN, "content": "", "side": JUDGE, "model": judge.model, "settings": settings}


def verdict_of(comparison: Comparison, trial: Trial, question: str) -> Json:
    """The message of what the judge said of a question, in both orders."""
    message: Json = {
        "role": "assistant",
        "status": "incomplete" if trial.failure else "completed",
        "content": [{"type": "output_text", "text": text} for text in trial.texts],
        "question_id": question,
        "side": JUDGE,
        "model": comparison.judge.model,
        "settings": {"comparison": comparison.id},
    }
    if trial.failure:
        message["error"] = {"type": trial.failure.kind, "message": trial.failure.detail[:4096]}
    return message


def recalled(entry: Entry, items: Sequence[Json]) -> Recalled:
    """The batch that these messages, the oldest first, were made of. Raises GatewayError where they are none's."""
    columns = {Side(item["side"]): item for item in items if _column(item) and item["side"] in set(Side)}
    if not columns:
        raise GatewayError("not_found_error", f"`{entry.id}` is no batch.", 404)
    choices = {side: choice_of(item) for side, item in columns.items()}
    settings = Settings.of(next(iter(columns.values())).get("settings") or {})
    turns = asked(items)
    for turn in turns:
        turn.choices, turn.order, turn.settings = choices, tuple(choices), settings
        turn.replies = {side: turn.replies[side] for side in choices if side in turn.replies}
    batch = Batch(entry.title, turns, choices, settings)
    batch.id = entry.id
    judge = next((item for item in reversed(items) if _column(item) and item["side"] == JUDGE), None)
    numbers = {turn.item: number for number, turn in enumerate(turns, start=1)}
    said = {
        numbers[item["question_id"]]: item
        for item in items
        if item["role"] == "assistant" and item.get("side") == JUDGE and item.get("question_id") in numbers
    }
    verdicts = {number: item["id"] for number, item in said.items()}
    if judge is None:
        return Recalled(batch, None, "", verdicts)
    return Recalled(batch, _comparison(batch, judge, said), judge["id"], verdicts)


def _column(item: Json) -> bool:
    return item["role"] == COLUMN and "side" in item


def _comparison(batch: Batch, item: Json, said: Mapping[int, Json]) -> Comparison | None:
    """The comparison as far as it came; None where it was made by what is no longer known."""
    settings = item.get("settings") or {}
    rubric = next((each for each in map(read, SHIPPED) if each.name == settings.get("rubric")), None)
    sides = [side for side in batch.choices if side in settings.get("sides", ())]
    if rubric is None or len(sides) != 2:
        return None
    judge = Judge(item.get("model") or "", rubric, settings["max_tokens"], settings["language"])
    comparison = Comparison(judge, (sides[0], sides[1]), batch)
    comparison.id = settings["comparison"]
    for number, message in said.items():
        if (message.get("settings") or {}).get("comparison") == comparison.id:
            error, texts = message.get("error"), [part["text"] for part in message["content"]]
            failure = GatewayError(error["type"], error.get("message", "")) if error else None
            comparison.recall(number, texts, failure)
    return comparison
