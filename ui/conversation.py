"""Questions and what both sides answered. Each side remembers only its own answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ui.client import Gateway, Question
from ui.reply import Reply


class Side(StrEnum):
    GROUNDED = "grounded"
    RAW = "raw"


@dataclass(frozen=True, slots=True)
class Choice:
    """Who answers on one side: a model's or assistant's id, and the knowledge bases that it searches, if it is told which."""

    model: str
    stores: tuple[str, ...] = ()
    obstacle: str | None = None  # the kind of error that keeps this side from being asked
    own_documents: bool = False


@dataclass
class Turn:
    """One question and its answers."""

    question: str
    choices: dict[Side, Choice]
    replies: dict[Side, Reply]

    @property
    def running(self) -> bool:
        return any(reply.running for reply in self.replies.values())


@dataclass
class Conversation:
    turns: list[Turn] = field(default_factory=list)

    @property
    def running(self) -> bool:
        return any(turn.running for turn in self.turns)

    def ask(self, gateway: Gateway, text: str, choices: dict[Side, Choice]) -> None:
        """Ask both sides at once; what is still being answered is given up and stays as far as it came."""
        self.stop()
        replies = {side: self._begin(gateway, text, side, choice) for side, choice in choices.items()}
        self.turns.append(Turn(text, choices, replies))

    def stop(self) -> None:
        for turn in self.turns:
            for reply in turn.replies.values():
                reply.stop()

    def messages(self, side: Side, question: str) -> list[dict[str, str]]:
        """The side's history with the new question; questions that it left unanswered are not in it."""
        history: list[dict[str, str]] = []
        for turn in self.turns:
            if (reply := turn.replies.get(side)) and reply.text.strip():
                history += _exchange(turn.question, reply.text)
        return [*history, {"role": "user", "content": question}]

    def _begin(self, gateway: Gateway, text: str, side: Side, choice: Choice) -> Reply:
        grounded = side is Side.GROUNDED
        if choice.obstacle:
            return Reply.refused(grounded, choice.obstacle)
        reply = Reply(grounded)
        reply.start(gateway, Question(choice.model, self.messages(side, text), choice.stores))
        return reply


def _exchange(question: str, answer: str) -> Sequence[dict[str, str]]:
    return {"role": "user", "content": question}, {"role": "assistant", "content": answer}
