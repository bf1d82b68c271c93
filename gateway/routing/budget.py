"""The retry budget of a backend: enough to make good what breaks, too little to storm engines that are in trouble."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

SHARE = 0.2
"""Retries for each request, in the long run."""

PER_SECOND = 2.0
"""Retries a second that a quiet backend has beside."""

RESERVE = 20.0
"""Retries that may run ahead. With more in flight it is as many as those, for they may all break at once."""


class Budget:
    """A debt: each retry adds to it, each request and the time pay it back, and beyond its limit nothing is lent."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._debt = 0.0
        self._paid = 0.0
        self.refused = 0

    def request(self) -> None:
        """A request began."""
        if self._debt:
            self._debt = max(0.0, self._debt - SHARE)

    def spend(self, in_flight: int) -> bool:
        """Whether one more retry is allowed while the backend has `in_flight`; it is taken when it is."""
        now = self._clock()
        self._debt = max(0.0, self._debt - PER_SECOND * (now - self._paid))
        self._paid = now
        if self._debt + 1 > max(RESERVE, in_flight):
            self.refused += 1
            return False
        self._debt += 1
        return True
