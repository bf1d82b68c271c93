"""Questions and what each side answered. Each side remembers only its own answers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ui.client import Gateway, Json, Question
from ui.pictures import SENT, Picture
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
    images: int = 0  # pictures that a request to the model may hold

    def grounded(self, side: Side) -> bool:
        """Whether the answer has to show its sources."""
        return side is Side.GROUNDED or self.assistant

    @property
    def sees(self) -> int:
        """How many pictures are sent to it, the latest ones."""
        return min(self.images, SENT)


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
    pictures: tuple[Picture, ...] = ()  # that were attached to the question

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

    def seen(self, side: Side) -> int:
        """How many of the question's pictures the side was shown, from the first."""
        return min(len(self.pictures), self.choices[side].sees)

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
        pictures: Sequence[Picture] = (),
    ) -> None:
        """Ask all sides at once; what is still being answered is given up and stays as far as it came. A side whose model
        sees no `pictures` is asked with the text alone.

        A blind turn stands in an order drawn by chance; one that `replaces` another is asked as if that had not been.
        """
        self.stop()
        order = tuple(random.sample(list(choices), len(choices)) if blind else choices)
        turn = Turn(
            text,
            choices,
            {},
            order=order,
            blind=blind,
            replaces=replaces,
            settings=settings,
            pictures=tuple(pictures),
        )
        turn.replies = {
            side: begin(gateway, self.messages(turn, side), side, choice, settings)
            for side, choice in choices.items()
        }
        self.turns.append(turn)

    def stop(self) -> None:
        for turn in self.turns:
            for reply in turn.replies.values():
                reply.stop()

    def messages(self, new: Turn, side: Side) -> list[Json]:
        """The side's history with the question of the `new` turn, without turns that it left unanswered or that were asked
        again. Of the pictures the latest stay as many as the model takes."""
        gone = [new.replaces, *(turn.replaces for turn in self.turns)]
        said: list[Json] = []
        left = new.choices[side].sees
        for turn in (new, *reversed(self.turns)):
            reply = turn.replies.get(side)
            answered = reply is not None and bool(reply.text.strip())
            if turn is not new and (not answered or any(turn is each for each in gone)):
                continue
            pictures = turn.pictures[:left]
            left -= len(pictures)
            answer = [{"role": "assistant", "content": reply.text}] if reply and answered else []
            said = [{"role": "user", "content": _content(turn.question, pictures)}, *answer, *said]
        return said


def begin(
    gateway: Gateway, messages: Sequence[Json], side: Side, choice: Choice, settings: Settings
) -> Reply:
    """Ask one side in the background; where an obstacle forbids it, the answer says so."""
    grounded = choice.grounded(side)
    if choice.obstacle:
        return Reply.refused(grounded, choice.obstacle)
    reply = Reply(grounded)
    reply.start(gateway, question_to(choice, messages, settings))
    return reply


def question_to(choice: Choice, messages: Sequence[Json], settings: Settings) -> Question:
    """The request that asks one side."""
    return Question(choice.model, settings.messages(messages), choice.stores, settings.fields())


def _content(question: str, pictures: Sequence[Picture]) -> str | list[Json]:
    """The text alone where that is all, else chat's parts."""
    if not pictures:
        return question
    shown = [{"type": "image_url", "image_url": {"url": picture.url}} for picture in pictures]
    return [{"type": "text", "text": question}, *shown]
