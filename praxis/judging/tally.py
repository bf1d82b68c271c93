"""How often one of two was better, and how far that is to be trusted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from praxis.judging.pair import FIRST, SECOND, TIE, Finding

_NORMAL = 1.959964
"""The standard normal's 97.5 % quantile: intervals hold 95 %."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Judgements from the first side; of the `ties` so many are `flipped`, that is, the two orders disagreed."""

    wins: int
    ties: int
    losses: int
    flipped: int

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Self:
        """Of judgements on the same item."""
        listed = list(findings)
        won = Counter(each.winner for each in listed)
        return cls(won[FIRST], won[TIE], won[SECOND], sum(each.flipped for each in listed))

    @property
    def judged(self) -> int:
        return self.wins + self.ties + self.losses

    @property
    def rate(self) -> tuple[float, float, float] | None:
        """The first side's share, in which a tie counts half, with the ends of its 95 % interval; None of none."""
        points = self.wins + self.ties / 2
        return (points / self.judged, *wilson(points, self.judged)) if self.judged else None

    @property
    def leader(self) -> int:
        """1 where all of the interval is above a half, -1 where all of it is below, else 0: it may be chance."""
        if self.rate is None:
            return 0
        _, low, high = self.rate
        return (low > 0.5) - (high < 0.5)


def wilson(won: float, of: int) -> tuple[float, float]:
    """The 95 % interval of a share; unlike the normal one it holds for few and for shares of 0 and 1."""
    share, square = won / of, _NORMAL**2 / of
    middle = share + square / 2
    reach = _NORMAL * math.sqrt(share * (1 - share) / of + square / (4 * of))
    return max(0.0, (middle - reach) / (1 + square)), min(1.0, (middle + reach) / (1 + square))
