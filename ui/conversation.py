"""Questions and what each side answered. Each side remembers only its own answers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ui.client import Gateway, Question
from ui.reply import Reply
from ui.settings import DEFAULT, Settings
from ui.votes import Vote

MY_DOCUMENTS = "\0documents"
"""Stands where an assistant's id would, and can be none: the key's own knowledge bases."""


LETTERS = "ABC"
"""What the sides of a turn are called, from left to right."""


class Side(StrEnum):
    """A column. The last one is there only where somebody wants a third answer."""

    GROUNDED = "grounded"
    RAW = "raw"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Choice:
    """Who answers on one side: a model's or assistant's id, and the knowledge bases that it searches, if it is told which."""

    model: str
    stores: tuple[str, ...] = ()
    obstacle: str | None = None  # the kind of error that keeps this side from being asked
    own_documents: bool = False
    assistant: bool = False  # the model answers from documents by itself

    def grounded(self, side: Side) -> bool:
        """Whether the answer has to show its sources."""
        return side is Side.GROUNDED or self.assistant


@dataclass
class Turn:
    """One question and its answers; `item` and `answers` are their ids at the gateway, once it keeps them."""

    question: str
    choices: dict[Side, Choice]
    replies: dict[Side, Reply]
    item: str = ""
    answers: dict[Side, str] = field(default_factory=dict)
    order: tuple[
        Side, ...
    ] = ()  # from left to right: A, B, C; as the choices stand where nothing else is said
    blind: bool = False  # whose answers these are is not shown before the verdict
    vote: Vote | None = None
    unsaved: tuple[list[str], str] | None = None  # tags and comment of the vote, as they were entered
    replaces: Turn | None = None  # the one whose question was asked again
    recalled: bool = False  # read back from the gateway
    settings: Settings = DEFAULT

    def __post_init__(self) -> None:
        self.order = self.order or tuple(self.choices)

    @property
    def running(self) -> bool:
        return any(reply.running for reply in self.replies.values())

    @property
    def answered(self) -> tuple[Side, ...]:
        """The sides that have said something, from left to right."""
        return tuple(side for side in self.order if side in self.replies and self.replies[side].text.strip())

    @property
    def judged(self) -> tuple[Side, Side] | None:
        """The two sides that the verdict is about."""
        if self.vote is None or not {self.vote.a.side, self.vote.b.side} <= set(self.order):
            return None
        return Side(self.vote.a.side), Side(self.vote.b.side)

    def letter(self, side: Side) -> str:
        """What the side is called in this turn."""
        return LETTERS[self.order.index(side)]

    @property
    def hidden(self) -> bool:
        return self.blind and self.vote is None

    @property
    def kept(self) -> bool:
        """Whether the gateway has the question and every answer, be they whole or not."""
        return bool(self.item) and self.answers.keys() == self.replies.keys()


@dataclass
class Conversation:
    """Turns in their order; `id` is the gateway's, once it keeps them."""

    id: str | None = None
    turns: list[Turn] = field(default_factory=list)

    @property
    def running(self) -> bool:
        return any(turn.running for turn in self.turns)

    def ask(
        self,
        gateway: Gateway,
        text: str,
        choices: dict[Side, Choice],
        *,
        settings: Settings = DEFAULT,
        blind: bool = False,
        replaces: Turn | None = None,
    ) -> None:
        """Ask all sides at once; what is still being answered is given up and stays as far as it came.

        A blind turn stands in an order drawn by chance; one that `replaces` another is asked as if that had not been.
        """
        self.stop()
        order = tuple(random.sample(list(choices), len(choices)) if blind else choices)
        replies = {
            side: begin(gateway, self.messages(side, text, replaces), side, choice, settings)
            for side, choice in choices.items()
        }
        turn = Turn(text, choices, replies, order=order, blind=blind, replaces=replaces, settings=settings)
        self.turns.append(turn)

    def stop(self) -> None:
        for turn in self.turns:
            for reply in turn.replies.values():
                reply.stop()

    def messages(self, side: Side, question: str, replaced: Turn | None = None) -> list[dict[str, str]]:
        """The side's history with the new question, without turns that it left unanswered or that were asked again."""
        history: list[dict[str, str]] = []
        gone = [replaced, *(turn.replaces for turn in self.turns)]
        for turn in self.turns:
            if (
                not any(turn is each for each in gone)
                and (reply := turn.replies.get(side))
                and reply.text.strip()
            ):
                history += _exchange(turn.question, reply.text)
        return [*history, {"role": "user", "content": question}]


def begin(
    gateway: Gateway, messages: Sequence[dict[str, str]], side: Side, choice: Choice, settings: Settings
) -> Reply:
    """Ask one side in the background; where an obstacle forbids it, the answer says so."""
    grounded = choice.grounded(side)
    if choice.obstacle:
        return Reply.refused(grounded, choice.obstacle)
    reply = Reply(grounded)
    reply.start(gateway, question_to(choice, messages, settings))
    return reply


def question_to(choice: Choice, messages: Sequence[dict[str, str]], settings: Settings) -> Question:
    """The request that asks one side."""
    return Question(choice.model, settings.messages(messages), choice.stores, settings.fields())


def _exchange(question: str, answer: str) -> Sequence[dict[str, str]]:
    return {"role": "user", "content": question}, {"role": "assistant", "content": answer}
