"""How many requests a backend finishes a second, of late."""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from time import monotonic

SECONDS = 20.0
"""How far back it looks: what is older fades out."""


class Rate:
    """Events per second, by an exponentially fading count that is right from its first event on."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._count = 0.0
        self._began: float | None = None
        self._last = 0.0

    def event(self) -> None:
        now = self._clock()
        if self._began is None:
            self._began = now
        self._count = self._count * exp((self._last - now) / SECONDS) + 1
        self._last = now

    def per_second(self) -> float:
        """0 while nothing has been seen."""
        if self._began is None:
            return 0.0
        now = self._clock()
        # A count that began a moment ago has seen less of the time than one that has been fading for long.
        seen = SECONDS * (1 - exp((self._began - now) / SECONDS))
        return self._count * exp((self._last - now) / SECONDS) / max(seen, 1.0)
