"""How far a mean is to be trusted: percentile bootstrap over rows, and over the differences of paired rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

RESAMPLES = 2000
"""Resamples of a bootstrap; the ends of a 95 % interval then vary by some hundredths of its width."""

CONFIDENCE = 0.95
"""Share of such intervals that hold the true mean."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its bootstrap interval over `rows` rows."""

    mean: float
    low: float
    high: float
    rows: int

    def record(self) -> dict[str, Any]:
        """The interval as programs read it."""
        return asdict(self)

    @property
    def sign(self) -> int:
        """1 where all of it is above zero, -1 where all of it is below, else 0."""
        return (self.low > 0) - (self.high < 0)


def interval(
    values: Sequence[float], *, seed: int = 0, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> Interval:
    """The mean of `values` with its interval; the same values and seed give the same one.

    Raises ValueError for no values.
    """
    return intervals({"": values}, seed=seed, resamples=resamples, confidence=confidence)[""]


def intervals(
    columns: dict[str, Sequence[float]],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> dict[str, Interval]:
    """As `interval`, of several values of the same rows, which are drawn together. Raises ValueError for no rows."""
    matrix = np.array(list(columns.values()), dtype=float).T
    rows = len(matrix)
    if not rows:
        raise ValueError("an interval needs at least one row")
    generator = np.random.default_rng(seed)
    # One resample is how often each row was drawn; 100,000 rows then take no more memory than they do already.
    means = np.array(
        [
            np.bincount(generator.integers(rows, size=rows), minlength=rows) @ matrix / rows
            for _ in range(resamples)
        ]
    )
    tail = (1 - confidence) / 2
    lows, highs = np.quantile(means, [tail, 1 - tail], axis=0)
    centres = matrix.mean(axis=0)
    return {
        name: Interval(float(centre), float(low), float(high), rows)
        for name, centre, low, high in zip(columns, centres, lows, highs, strict=True)
    }


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The percentile of `values` by linear interpolation, as numpy and vLLM's benchmark give it; None of none."""
    return float(np.percentile(values, percent)) if len(values) else None
