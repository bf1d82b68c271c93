"""A follow-up question as a query that stands alone: 「那休息日呢？」 says nothing to search for without what came before.

The model is asked once, briefly. What it writes is believed only where it keeps to the conversation; a small model that
answers instead, or brings in a law of its own, would search for what nobody asked. Then, and where it says nothing in
time, the query is made of the user's last questions themselves. The question that is answered stays as it was asked.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from praxis.errors import PraxisError
from rag.answer.content import content_units
from rag.answer.context import Message, estimate_tokens, message_text
from rag.answer.prompts import WORDING, Language, quotable
from rag.answer.statutes import looked_up, short_name
from rag.generation import Refused

SECONDS = 15.0
"""How long the model may take; a search waits for it."""

TOKENS = 96  # of the query that it writes
HISTORY_TOKENS = 600
TURNS = 3  # that a follow-up may refer to
LONGEST = 200  # characters of a query
KEPT = 0.5  # share of a query's words that must be the conversation's

Ask = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]
"""Asks the model for a completion."""

_THOUGHT = re.compile(r"^.*</think>", re.DOTALL)
_LABEL = re.compile(
    r"^(?:[^:：\n]{0,12}(?:问题|查询|检索|改写|question|query)[^:：\n]{0,12})[:：]\s*", re.IGNORECASE
)
_QUOTES = " \t\"'“”‘’「」『』`*"
_MARKER = re.compile(r"\[\d{1,3}\]")


@dataclass(frozen=True, slots=True)
class FollowUp:
    """The last question of a conversation, with the turns before it that it may refer to, oldest first."""

    question: str
    earlier: tuple[tuple[str, str], ...]  # role and text
    language: Language

    async def query(self, ask: Ask, body: Mapping[str, Any]) -> str:
        """What to search for. `body` is the client's request, whose way of switching thinking off is kept."""
        asked = {"messages": self._messages(), "temperature": 0, "max_tokens": TOKENS}
        if switches := body.get("chat_template_kwargs"):
            asked["chat_template_kwargs"] = switches
        try:
            async with asyncio.timeout(SECONDS):
                completion = await ask(asked)
        except (TimeoutError, PraxisError, Refused):
            return self.plain
        return self._believed(completion["choices"][0]) or self.plain

    @property
    def plain(self) -> str:
        """The query without a model: the question, and what the user asked before it, as far as there is room."""
        said = [text for role, text in self.earlier if role == "user"]
        query = self.question
        for text in reversed(said):
            if len(query) + len(text) >= LONGEST:
                break
            query = f"{text}\n{query}"
        return query

    def _messages(self) -> list[Message]:
        words = WORDING[self.language]
        lines: list[str] = []
        room = HISTORY_TOKENS
        for role, text in reversed(self.earlier):
            line = f"{words.user if role == 'user' else words.assistant}{quotable(text)[:LONGEST]}"
            room -= estimate_tokens(line)
            if lines and room < 0:
                break
            lines.insert(0, line)
        lines.append(f"{words.follow_up}{quotable(self.question)}")
        return [{"role": "system", "content": words.rewrite}, {"role": "user", "content": "\n".join(lines)}]

    def _believed(self, choice: Mapping[str, Any]) -> str | None:
        """The query that the model wrote, None where it cannot be one."""
        written = (choice.get("message") or {}).get("content")
        if not isinstance(written, str) or choice.get("finish_reason") == "length":
            return None
        query = _LABEL.sub("", _THOUGHT.sub("", written).strip(_QUOTES + "\n")).strip(_QUOTES)
        if not query or "\n" in query or len(query) > LONGEST:
            return None
        said = "\n".join((*(text for _, text in self.earlier), self.question))
        units = content_units(query)
        if len(units & content_units(said)) < KEPT * len(units):
            return None
        articles = {None, *(each.article for each in looked_up(said))}
        strange = [
            each
            for each in looked_up(query)
            if each.article not in articles or short_name(each.law or "") not in said
        ]
        return None if strange else query


def follow_up(messages: Sequence[Message], question: str, language: Language) -> FollowUp | None:
    """The last question as a follow-up; None for a conversation's first, and for one that names its law and article."""
    turns = [each for each in messages if each.get("role") in ("user", "assistant")]
    last = max(at for at, each in enumerate(turns) if each["role"] == "user")
    said = [(str(each["role"]), _MARKER.sub("", message_text(each)).strip()) for each in turns[:last]]
    earlier = tuple((role, text) for role, text in said if text)
    if not any(role == "user" for role, _ in earlier) or any(
        each.article and each.own_law for each in looked_up(question)
    ):
        return None
    starts = [at for at, (role, _) in enumerate(earlier) if role == "user"]
    return FollowUp(question, earlier[starts[-TURNS:][0] :], language)
