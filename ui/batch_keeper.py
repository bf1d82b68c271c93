"""Keeps a batch and its comparison at the gateway, row by row: each answer once, when it has ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Self

from ui.batch import Batch
from ui.batch_messages import columns_of, judge_of, recalled, verdict_of
from ui.client import GatewayError, Json
from ui.comparison import Comparison
from ui.history import AT_ONCE, BATCH, History
from ui.messages import answer_of, question_of
from ui.saving import Saving

MOST = 500_000
"""Bytes of messages that are sent at once, unless one alone has more."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A thing that is to be kept as a message: in the place of `item`, where it has one. `kept` is told its id."""

    thing: object
    message: Callable[[], Json]
    item: str
    kept: Callable[[str], None]


class BatchKeeper(Saving):
    """Saves `batch` and the `comparison` of its columns, of which there is one at a time."""

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        self.batch = batch
        self.comparison: Comparison | None = None
        self._judge = ""  # the item that says how columns are compared
        self._verdicts: dict[int, str] = {}  # by the question's number
        self._saved: dict[str, object] = {}  # by item: what the gateway has there

    @classmethod
    def reopened(cls, history: History, conversation: str) -> Self:
        """The keeper of a batch as the gateway has it. Raises GatewayError."""
        told = recalled(history.entry(conversation), history.items(conversation))
        keeper = cls(told.batch)
        keeper.comparison, keeper._judge = told.comparison, told.judge
        keeper._verdicts = dict(told.verdicts)
        for piece in keeper._pieces():
            keeper._saved[piece.item] = piece.thing
        return keeper

    @property
    def running(self) -> bool:
        return self.batch.running or (self.comparison is not None and self.comparison.running)

    def join(self, watched: Callable[[], bool]) -> None:
        """Go on for one more who looks."""
        for work in self._works():
            work.join(watched)

    def leave(self, watched: Callable[[], bool]) -> None:
        """Stop where nobody else looks, and save what there is once more."""
        left = [work.leave(watched) for work in self._works()]
        if all(left):
            self.end()

    def save(self, history: History) -> None:
        try:
            self._save(history)
        except GatewayError as error:
            if error.status == 404:  # it was deleted: nobody wants the rest
                for work in self._works():
                    work.stop()
            raise

    def _save(self, history: History) -> None:
        batch = self.batch
        if batch.id is None:
            batch.id = history.begin(batch.name, {BATCH: str(len(batch.turns))}, columns_of(batch))
            self.named()
        questions = [
            Piece(turn, partial(question_of, turn), "", partial(setattr, turn, "item"))
            for turn in batch.turns
            if not turn.item
        ]
        self._send(history, batch.id, questions)
        self._send(history, batch.id, self._pieces())

    def _works(self) -> Iterator[Batch | Comparison]:
        yield self.batch
        if self.comparison:
            yield self.comparison

    def _pieces(self) -> Iterator[Piece]:
        """Every answer and verdict that has ended."""
        for turn in self.batch.turns:
            for side, reply in turn.replies.items():
                if not reply.running:
                    item = turn.answers.get(side, "")
                    message = partial(answer_of, turn, side, reply)
                    yield Piece(reply, message, item, partial(turn.answers.__setitem__, side))
        comparison = self.comparison
        if comparison is None:
            return
        yield Piece(comparison, partial(judge_of, comparison), self._judge, partial(setattr, self, "_judge"))
        for number, trial in sorted(comparison.trials.items()):
            if trial.ended:
                question, item = self.batch.turns[number - 1].item, self._verdicts.get(number, "")
                message = partial(verdict_of, comparison, trial, question)
                yield Piece(trial, message, item, partial(self._verdicts.__setitem__, number))

    def _send(self, history: History, conversation: str, pieces: Iterable[Piece]) -> None:
        """Save those that the gateway has not; what was saved before a failure stays so."""
        fresh: list[tuple[Piece, Json]] = []
        for piece in pieces:
            if not piece.item:
                fresh.append((piece, piece.message()))
            elif self._saved.get(piece.item) is not piece.thing:
                history.replace(conversation, piece.item, piece.message())
                self._saved[piece.item] = piece.thing
        for portion in _portions(fresh):
            items = history.add(conversation, [message for _, message in portion])
            for (piece, _), item in zip(portion, items, strict=True):
                piece.kept(item)
                self._saved[item] = piece.thing


def _portions(fresh: Iterable[tuple[Piece, Json]]) -> Iterator[list[tuple[Piece, Json]]]:
    """As many as go into one request."""
    portion: list[tuple[Piece, Json]] = []
    length = 0
    for each in fresh:
        here = len(json.dumps(each[1], ensure_ascii=False).encode())
        if portion and (len(portion) == AT_ONCE or length + here > MOST):
            yield portion
            portion, length = [], 0
        portion.append(each)
        length += here
    if portion:
        yield portion
