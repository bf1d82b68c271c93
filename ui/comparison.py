"""A model compares two columns of a batch, criterion by criterion, as `praxis eval judge` compares two targets."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from praxis.judging.pair import Finding, Judge, Pair, decided
from praxis.judging.rubric import OVERALL
from praxis.judging.tally import Tally
from ui.background import Background
from ui.batch import Batch, whole
from ui.client import Gateway, GatewayError, Question
from ui.conversation import Side, Turn
from ui.markup import unmarked
from ui.reply import Phase, Reply


@dataclass
class Trial:
    """One question's two answers before the judge: in the end there are `findings`, by item, or a `failure`.

    `texts` are what the judge said, in either order.
    """

    number: int
    pair: Pair
    said: tuple[Reply, ...] = ()
    texts: tuple[str, ...] = ()
    findings: Mapping[str, Finding] | None = None
    failure: GatewayError | None = None

    @property
    def ended(self) -> bool:
        return self.findings is not None or self.failure is not None


class Comparison(Background[Trial]):
    """The columns `sides` of a batch before a judge; `trials` are by the question's number in the batch.

    Its `id` tells what belongs to it from what was said in an earlier one.
    """

    def __init__(self, judge: Judge, sides: tuple[Side, Side], batch: Batch) -> None:
        super().__init__()
        self.id = secrets.token_hex(8)
        self.judge = judge
        self.sides = sides
        self.batch = batch
        self.trials: dict[int, Trial] = {}

    @property
    def items(self) -> list[str]:
        """All that is judged: the whole, and then each criterion."""
        return [OVERALL, *(each.name for each in self.judge.rubric.criteria)]

    @property
    def total(self) -> int:
        return len(self.trials)

    @property
    def done(self) -> int:
        return sum(each.ended for each in self.trials.values())

    @property
    def left(self) -> list[int]:
        """The numbers of the questions that can be judged and have no findings, be it that their judging failed."""
        return [
            number
            for number in comparable(self.batch, self.sides)
            if number not in self.trials or self.trials[number].findings is None
        ]

    @property
    def judged(self) -> list[Trial]:
        """Those with findings, in the order of the questions."""
        return [each for _, each in sorted(self.trials.items()) if each.findings is not None]

    @property
    def failures(self) -> list[Trial]:
        return [each for _, each in sorted(self.trials.items()) if each.failure is not None]

    def replies(self) -> Iterator[Reply]:
        for each in list(self.trials.values()):
            yield from each.said

    def start(self, gateway: Gateway, watched: Callable[[], bool]) -> None:
        """Judge in the background what is not judged; `watched` says whether anybody still wants to know."""
        todo = {number: Trial(number, self._pair(number)) for number in self.left}
        self.trials = self.trials | todo
        self._begin(gateway, list(todo.values()), watched)

    async def do(self, gateway: Gateway, thing: Trial) -> None:
        thing.said = (Reply(), Reply())

        async def ask(place: int) -> None:
            def put(reply: Reply) -> None:
                thing.said = (*thing.said[:place], reply, *thing.said[place + 1 :])

            body = self.judge.request(thing.pair, swapped=bool(place))
            question = Question(body.pop("model"), body.pop("messages"), settings=body)
            await self._answer(gateway, question, thing.said[place], put)

        await asyncio.gather(ask(0), ask(1))
        if any(reply.phase is Phase.STOPPED for reply in thing.said):
            return
        texts = tuple(reply.text for reply in thing.said)
        self._conclude(thing, texts, next(filter(None, map(self._failure, thing.said)), None))

    def recall(self, number: int, texts: Sequence[str], failure: GatewayError | None) -> None:
        """Take up what the judge said of a question before, and why that was no judgement, if it was none."""
        if judgeable(self.batch.turns[number - 1], self.sides):
            trial = self.trials[number] = Trial(number, self._pair(number))
            if len(texts) != 2:
                failure = failure or GatewayError("judge_empty")
            self._conclude(trial, tuple(texts), failure)

    def tally(self, item: str) -> Tally:
        """How often the first column was better at an item, over the questions on which the judge has a verdict on it."""
        return Tally.of(
            each.findings[item] for each in self.judged if each.findings and item in each.findings
        )

    def _conclude(self, trial: Trial, texts: tuple[str, ...], failure: GatewayError | None) -> None:
        trial.texts = texts
        findings = self.judge.findings(*texts) if failure is None else {}
        if OVERALL in findings:
            trial.findings = findings
        else:
            trial.failure = failure or GatewayError("judge_no_verdict")

    def _pair(self, number: int) -> Pair:
        """Without markers, which would tell who is grounded."""
        turn = self.batch.turns[number - 1]
        first, second = (unmarked(turn.replies[side].text).strip() for side in self.sides)
        return Pair(turn.question, first, second)

    def _failure(self, reply: Reply) -> GatewayError | None:
        """Why a reply is no judgement."""
        if reply.error:
            return reply.error
        if not reply.text.strip():
            return GatewayError("judge_empty")
        if not decided(reply.text, self.judge.rubric):
            return GatewayError("judge_truncated" if reply.finish == "length" else "judge_no_verdict")
        return None


def comparable(batch: Batch, sides: tuple[Side, Side]) -> list[int]:
    """The numbers of the questions that can be judged, the first one being 1."""
    return [number for number, turn in enumerate(batch.turns, start=1) if judgeable(turn, sides)]


def judgeable(turn: Turn, sides: tuple[Side, Side]) -> bool:
    """Whether both columns have answered to the end, and said something."""
    return all(whole(turn, side) and turn.replies[side].text.strip() for side in sides)
