"""What an engine says of its own load, read from its metrics in Prometheus' text format."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """Requests that the engine runs and that wait in it, whoever sent them; `tokens` counts all its work, ever."""

    running: float
    waiting: float
    tokens: float


def read_load(text: str, *, running: str, waiting: str, tokens: tuple[str, ...]) -> Load | None:
    """The load by the names of an engine's metrics, summed over their labels; None where it gives none."""
    counts = total(text, running), total(text, waiting)
    if counts[0] is None and counts[1] is None:
        return None
    done = sum(total(text, name) or 0.0 for name in tokens)
    return Load(counts[0] or 0.0, counts[1] or 0.0, done)


def total(text: str, name: str) -> float | None:
    """The sum of the metric `name` over its labels, or None where the text does not have it."""
    found = re.findall(rf"^{re.escape(name)}(?:\{{.*\}})?[ \t]+(\S+)", text, re.MULTILINE)
    try:
        return sum(map(float, found)) if found else None
    except ValueError:
        return None
