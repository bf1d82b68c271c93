"""What the clients of one measurement saw, as figures."""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figures:
    """One measurement. Times are in milliseconds; `cpu` is the client's own share of a core.

    `requests` were answered while it counted, `answered` also counts warm-up and end; those `took` so many seconds.
    """

    requests: int
    answered: int
    requests_per_second: float
    p50_ms: float | None
    p99_ms: float | None
    first_event_p50_ms: float | None
    first_event_p99_ms: float | None
    gap_p99_ms: float | None
    errors: dict[str, int]
    cpu: float
    took: float


class Tally:
    """What the clients of one measurement saw, all together.

    Events that came in one read have no gap between them; those are only counted, in `no_gaps`.
    """

    def __init__(self, enough: int | None) -> None:
        self.latencies = array("d")
        self.first_events = array("d")
        self.gaps = array("d")
        self.no_gaps = 0
        self.errors: Counter[str] = Counter()
        self.answered = 0
        self._enough = enough
        self._ended = 0
        self.complete = asyncio.Event()

    def answer(self) -> None:
        """Count one whole answer."""
        self.answered += 1
        self._end()

    def error(self, kind: str) -> None:
        """Count one request that got no answer."""
        self.errors[kind] += 1
        self._end()

    def _end(self) -> None:
        self._ended += 1
        if self._ended == self._enough:
            self.complete.set()

    def clear(self) -> None:
        """Forget what the warm-up saw."""
        for series in (self.latencies, self.first_events, self.gaps):
            del series[:]
        self.no_gaps = 0
        self.errors.clear()

    def figures(self, *, seconds: float, cpu: float, took: float) -> Figures:
        return Figures(
            requests=len(self.latencies),
            answered=self.answered,
            requests_per_second=len(self.latencies) / seconds,
            p50_ms=_percentile(self.latencies, 0.5),
            p99_ms=_percentile(self.latencies, 0.99),
            first_event_p50_ms=_percentile(self.first_events, 0.5),
            first_event_p99_ms=_percentile(self.first_events, 0.99),
            gap_p99_ms=_percentile(self.gaps, 0.99, zeros=self.no_gaps),
            errors=dict(self.errors),
            cpu=cpu / seconds,
            took=took,
        )


def _percentile(series: array[float], share: float, *, zeros: int = 0) -> float | None:
    """The nearest-rank percentile of `series` and that many zeros, in milliseconds."""
    if not series:
        return None
    ordered = sorted(series)
    rank = int(share * (len(ordered) + zeros)) - zeros
    return 1000 * ordered[min(len(ordered) - 1, rank)] if rank >= 0 else 0.0
