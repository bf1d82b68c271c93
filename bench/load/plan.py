"""What a run of the gateway benchmark measures, in which order, and how long that takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.load.loads import Load
from bench.load.subjects import START, seconds

_OVERHEAD = 0.6
"""Seconds that a measurement takes beside its own: the client's start and its last answers."""

DISTURBED = 0.1
"""Share of a core from which on other programs' work on it makes a measurement doubtful."""

_SOAK_RATE = 4000.0
"""Requests of the soak in a second; a guess for the estimate."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Rounds of loads on subjects; where peers are `optional`, one that is not there is left out.

    A measurement that other programs disturb is made again until `attempts` are used up. `soak` is how many
    requests Praxis gets besides, to see whether its memory grows.
    """

    subjects: Sequence[str]
    loads: Sequence[Load]
    rounds: int
    optional: bool = True
    attempts: int = 1
    soak: int = 0

    @property
    def start(self) -> float:
        """About how many seconds the subjects take to start."""
        return sum(START[name] for name in self.subjects if any(cost(name, load) for load in self.loads))

    @property
    def soaking(self) -> float:
        """About how many seconds the soak takes."""
        return START["praxis"] + self.soak / _SOAK_RATE if self.soak else 0.0

    @property
    def estimate(self) -> float:
        """About how many seconds all of it takes."""
        one = sum(cost(name, load) for load in self.loads for name in self.subjects)
        return self.start + self.rounds * one + self.soaking

    def describe(self) -> str:
        """What will be done, in a line."""
        parts = []
        if self.loads:
            what = f"{len(self.loads)} load{'s' if len(self.loads) > 1 else ''} on {', '.join(self.subjects)}"
            parts.append(f"{self.rounds} round{'s' if self.rounds > 1 else ''} of {what}")
        if self.soak:
            parts.append(f"{self.soak:,} requests to praxis to see its memory")
        minutes = self.estimate / 60
        span = f"{minutes:.0f} min" if minutes >= 2 else f"{self.estimate:.0f} s"
        longer = ", longer where others disturb it" if self.attempts > 1 and self.loads else ""
        return f"{', then '.join(parts)}: about {span}{longer}."

    def turns(self, subjects: Sequence[str]) -> Iterator[tuple[int, Load, str]]:
        """Every measurement on those of the subjects that run: round, load, subject.

        Another subject goes first each time, so that a drift of the machine favours none.
        """
        turn = 0
        for round_ in range(self.rounds):
            for load in self.loads:
                for step in range(len(subjects)):
                    name = subjects[(turn + step) % len(subjects)]
                    if seconds(name, load) is not None:
                        yield round_, load, name
                turn += 1


def cost(subject: str, load: Load) -> float:
    """About how many seconds one measurement takes, all told."""
    window = seconds(subject, load)
    return 0.0 if window is None else window + load.warm_up + _OVERHEAD
