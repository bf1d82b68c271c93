"""Arithmetic on the rounds of a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any


def series(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Each figure as the list of its rounds; errors are added up."""
    found = {name: [each[name] for each in rounds] for name in rounds[0] if name != "errors"}
    return found | {"errors": added(each["errors"] for each in rounds)}


def added(errors: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts of errors by kind, added up."""
    total: dict[str, int] = {}
    for each in errors:
        for kind, count in each.items():
            total[kind] = total.get(kind, 0) + count
    return total


def ratio(praxis: Mapping[str, Any], other: Mapping[str, Any]) -> float | None:
    """How many requests Praxis answers for one of the other's; None where the other answered none."""
    reached = float(other["requests_per_second"])
    return float(praxis["requests_per_second"]) / reached if reached else None


def middle(rounds: Iterable[float | None]) -> float | None:
    """The median of the rounds that have the figure."""
    known = [each for each in rounds if each is not None]
    return median(known) if known else None


def pairs(
    first: Sequence[float | None],
    second: Sequence[float | None],
    combine: Callable[[float, float], float],
) -> list[float]:
    """Two figures of each round made one, where a round has both."""
    return [combine(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
