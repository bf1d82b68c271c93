"""What the model is shown: the best passages and the latest turns that fit into its window."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from praxis.errors import InvalidRequest
from rag.answer.prompts import Language, system_prompt
from rag.passages import Hit, Passage

Message = dict[str, Any]

PASSAGE_TOKENS = 1_800  # more costs a small model more attention than it gains, and a CPU its time
ANSWER_TOKENS = 768  # kept free for the answer where the request sets no limit
IMAGE_TOKENS = 1_000  # of a picture: about what a model makes of a page or a photograph
LEAST_PASSAGE_TOKENS = 60  # a shorter rest of a passage says nothing

_WIDE = re.compile(r"[^\x00-\x7f]")
_MESSAGE_OVERHEAD = 8  # role and delimiters, by the chat templates of the common models


@dataclass(frozen=True, slots=True)
class Context:
    """The messages for the model, and the hits that it sees: marker n is `hits[n - 1]`."""

    messages: list[Message]
    hits: list[Hit]


def estimate_tokens(text: str) -> int:
    """An upper estimate for models that know the script: a token per wide character, one per 3 of the rest."""
    wide = len(_WIDE.findall(text))
    return wide + (len(text) - wide + 2) // 3


def message_text(message: Message) -> str:
    """The text of a message: its content, or its text parts joined; an image counts as no text."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n".join(part for part in parts if isinstance(part, str))


def question_in(messages: Sequence[Message]) -> str:
    """The last user message. Raises InvalidRequest where there is none, or it says nothing."""
    for message in reversed(messages):
        if message.get("role") == "user":
            if question := message_text(message).strip():
                return question
            break
    raise InvalidRequest(
        "An answer from documents needs a question: the last `user` message in `messages` has no text.",
        param="messages",
    )


def distinct(hits: Sequence[Hit]) -> list[Hit]:
    """The hits without those that repeat the words of a better one, as when a statute was uploaded twice."""
    best: dict[str, Hit] = {}
    for hit in hits:
        best.setdefault("".join(hit.passage.text.split()), hit)
    return list(best.values())


def pack(
    messages: Sequence[Message],
    hits: Sequence[Hit],
    *,
    language: Language,
    window: int,
    answer_tokens: int | None = None,
    prompt: str | None = None,
    passage_tokens: int = PASSAGE_TOKENS,
) -> Context:
    """The best hits first, then the latest turns, as many as `window` (tokens) holds beside the answer.

    `prompt` (the operator's) and the client's leading system messages become one system message with ours,
    since most chat templates allow only one. The last turn is always kept, and so is the best hit, cut if need be.
    """
    lead = 0
    while lead < len(messages) and messages[lead].get("role") in ("system", "developer"):
        lead += 1
    preamble = [text for text in (prompt or "", *map(message_text, messages[:lead])) if text.strip()]
    turns = _turns(messages[lead:])
    last = _size(turns[-1]) if turns else 0

    reserve = min(answer_tokens or ANSWER_TOKENS, window // 2)
    room = (
        window - reserve - last - estimate_tokens(system_prompt([], language, preamble)) - _MESSAGE_OVERHEAD
    )
    shown = _best(hits, min(room, passage_tokens))
    system = system_prompt([hit.passage for hit in shown], language, preamble)

    room = window - reserve - estimate_tokens(system) - _MESSAGE_OVERHEAD
    kept: list[list[Message]] = []
    for turn in reversed(turns):
        room -= _size(turn)
        if kept and room < 0:
            break
        kept.insert(0, turn)
    return Context([{"role": "system", "content": system}, *(each for turn in kept for each in turn)], shown)


def _turns(messages: Sequence[Message]) -> list[list[Message]]:
    """Messages grouped so that each group begins with the user's: a tool's result never loses its call."""
    turns: list[list[Message]] = []
    for message in messages:
        if message.get("role") == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    return turns


def _size(turn: Sequence[Message]) -> int:
    text = sum(estimate_tokens(message_text(message)) + _MESSAGE_OVERHEAD for message in turn)
    return text + IMAGE_TOKENS * sum(map(_images, turn))


def _images(message: Message) -> int:
    content = message.get("content")
    parts = content if isinstance(content, list) else ()
    return sum(isinstance(part, dict) and part.get("type") == "image_url" for part in parts)


def _best(hits: Sequence[Hit], budget: int) -> list[Hit]:
    """The leading hits that fit into `budget` tokens, the last one cut to what is left; at least one."""
    shown: list[Hit] = []
    for hit in hits:
        cost = _cost(hit.passage)
        if cost <= budget:
            shown.append(hit)
            budget -= cost
            continue
        if budget >= LEAST_PASSAGE_TOKENS or not shown:
            shown.append(replace(hit, passage=_cut(hit.passage, max(budget, LEAST_PASSAGE_TOKENS))))
        break
    return shown


def _cost(passage: Passage) -> int:
    return estimate_tokens(system_prompt([passage], "zh", [])) - estimate_tokens(system_prompt([], "zh", []))


def _cut(passage: Passage, budget: int) -> Passage:
    """The beginning of the passage, still an exact span of its file, ending with a sentence where one ends."""
    text = passage.text
    while estimate_tokens(text) > budget and len(text) > 1:
        text = text[: max(1, len(text) * budget // max(estimate_tokens(text), 1))]
    if (stop := max(text.rfind(mark) for mark in "。；\n")) > len(text) // 2:
        text = text[: stop + 1]
    return replace(passage, text=text, end=passage.start + len(text))
