"""What two results of one benchmark are compared by, and whether a figure got worse beyond noise."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.intervals import Interval, interval
from praxis.errors import ConfigError, Problem

KINDS = ("gateway", "serve", "retrieval")
"""The benchmarks whose results can be compared."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Shares by which a figure, and by which a time, may be worse."""

    figures: float
    times: float


@dataclass(frozen=True, slots=True)
class Change(ABC):
    """One figure in both results. `tolerance` is the share by which it may be worse."""

    load: str
    figure: str
    before: Sequence[float]
    after: Sequence[float]
    higher_is_better: bool
    tolerance: float

    @property
    def name(self) -> str:
        """Load and figure."""
        return f"{self.load}: {self.figure}"

    @property
    @abstractmethod
    def worse(self) -> bool:
        """Whether it got worse beyond noise."""

    @abstractmethod
    def row(self) -> dict[str, Any]:
        """The change as a row of a table."""

    def _row(self, before: float, after: float, change: str) -> dict[str, Any]:
        told = {"load": self.load, "figure": self.figure, "before": before, "after": after, "change": change}
        return told | {"verdict": "worse" if self.worse else ""}


class Rounds(Change):
    """A figure measured in rounds.

    It is worse when its median is worse by more than the tolerance and no round of the new result is as good as the
    worst round of the old one.
    """

    @property
    def worse(self) -> bool:
        old, new = median(self.before), median(self.after)
        if self.higher_is_better:
            return new < old * (1 - self.tolerance) and max(self.after) < min(self.before)
        return new > old * (1 + self.tolerance) and min(self.after) > max(self.before)

    def row(self) -> dict[str, Any]:
        old, new = median(self.before), median(self.after)
        return self._row(old, new, f"{new / old - 1:+.1%}" if old else "–")


class Pairs(Change):
    """A figure of the same rows before and after.

    It is worse when the whole bootstrap interval of the mean difference is on the worse side, and the mean is worse
    by more than the tolerance.
    """

    @property
    def difference(self) -> Interval:
        """The mean of after − before over the rows."""
        return interval([b - a for a, b in zip(self.before, self.after, strict=True)])

    @property
    def worse(self) -> bool:
        difference = self.difference
        bad = -1 if self.higher_is_better else 1
        far = abs(difference.mean) > self.tolerance * abs(math.fsum(self.before)) / len(self.before)
        return difference.sign == bad and far

    def row(self) -> dict[str, Any]:
        difference = self.difference
        old = math.fsum(self.before) / len(self.before)
        change = f"{difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"
        return self._row(old, old + difference.mean, change)


def read(path: Path) -> dict[str, Any]:
    """A result that `praxis bench … --json` wrote. Raises ConfigError when it is none."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _unusable(str(path), f"it cannot be read: {error}") from None
    if not isinstance(value, dict) or value.get("kind") not in KINDS:
        raise _unusable(str(path), "it is no result of `praxis bench … --json`")
    return value


def compare(before: Path, after: Path, tolerance: Tolerance) -> Sequence[Change]:
    """Every figure that both results have. Raises ConfigError where they are of two kinds or have nothing in common."""
    from bench.load.compare import changes as gateway
    from bench.retrieval.compare import changes as retrieval
    from bench.serve.compare import changes as serve

    old, new = read(before), read(after)
    if old["kind"] != new["kind"]:
        raise _unusable(
            "bench compare",
            f"`{before}` is of `{old['kind']}` and `{after}` of `{new['kind']}`; give two of one",
        )
    kinds = {"gateway": gateway, "serve": serve, "retrieval": retrieval}
    try:
        found = kinds[old["kind"]](old, new, tolerance)
    except (KeyError, TypeError, AttributeError) as error:
        raise _unusable("bench compare", f"a result is not whole: {error!r}; measure again") from None
    if not found:
        raise _unusable("bench compare", "the results have nothing in common that can be compared")
    return found


def _unusable(source: str, message: str) -> ConfigError:
    return ConfigError(source, [Problem(None, "", message)])
