"""Many questions through the same columns. What was answered stays, stopped or not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Self

from ui.background import Background
from ui.client import Gateway
from ui.conversation import Choice, Side, Turn, question_to
from ui.markup import unmarked
from ui.reply import Phase, Reply
from ui.settings import Settings

_SOUNDLESS = re.compile(r"[\W_]+")


class Batch(Background[Turn]):
    """The questions of the file `name`, asked as `choices` and `settings` say; a turn has no replies before it is asked.

    `id` is the gateway's, once it keeps them.
    """

    def __init__(self, name: str, turns: list[Turn], choices: dict[Side, Choice], settings: Settings) -> None:
        super().__init__()
        self.name = name
        self.id: str | None = None
        self.turns = turns
        self.choices = choices
        self.settings = settings

    @classmethod
    def of(cls, name: str, questions: Sequence[str], choices: dict[Side, Choice], settings: Settings) -> Self:
        turns = [Turn(question, choices, {}, settings=settings) for question in questions]
        return cls(name, turns, choices, settings)

    @property
    def total(self) -> int:
        return len(self.turns)

    @property
    def done(self) -> int:
        return sum(len(turn.replies) == len(self.choices) and not turn.running for turn in self.turns)

    @property
    def left(self) -> list[Turn]:
        """The questions that not every column has answered to the end."""
        return [turn for turn in self.turns if not all(whole(turn, side) for side in self.choices)]

    def replies(self) -> Iterator[Reply]:
        for turn in self.turns:
            yield from turn.replies.values()

    def start(self, gateway: Gateway, watched: Callable[[], bool]) -> None:
        """Ask in the background whatever is not answered; `watched` says whether anybody still wants to know."""
        left = self.left
        for turn in left:
            turn.replies = {side: reply for side, reply in turn.replies.items() if reply.whole}
        self._begin(gateway, left, watched)

    async def do(self, gateway: Gateway, thing: Turn) -> None:
        fresh = {
            side: Reply(choice.grounded(side))
            for side, choice in self.choices.items()
            if not whole(thing, side)
        }
        # Pages read it meanwhile: it is replaced and never changed.
        thing.replies = {side: fresh.get(side) or thing.replies[side] for side in self.choices}
        await asyncio.gather(*(self._ask(gateway, thing, side, reply) for side, reply in fresh.items()))

    async def _ask(self, gateway: Gateway, turn: Turn, side: Side, reply: Reply) -> None:
        said = [{"role": "user", "content": turn.question}]

        def put(reply: Reply) -> None:
            turn.replies = turn.replies | {side: reply}

        await self._answer(gateway, question_to(self.choices[side], said, self.settings), reply, put)


def whole(turn: Turn, side: Side) -> bool:
    """Whether this column has answered to the end."""
    reply = turn.replies.get(side)
    return reply is not None and reply.whole


def failed(turn: Turn) -> bool:
    """Whether the question was asked, and a column did not answer it to the end."""
    return any(reply.phase in (Phase.FAILED, Phase.STOPPED) for reply in turn.replies.values())


def different(turn: Turn) -> bool:
    """Whether the answers are not the same words; markers, punctuation, blanks and case do not count."""
    said = {_SOUNDLESS.sub("", unmarked(turn.replies[side].text)).casefold() for side in turn.answered}
    return len(said) > 1
