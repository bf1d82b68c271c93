"""The circuit breaker of one replica: failures and stalls in traffic take it out, one trial at a time brings it back."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

FAILURES = 3
"""Failures in a row, seen in traffic or by probes, that take a replica out."""

EJECTED_SECONDS = 10.0
EJECTED_MOST = 60.0
"""How long a replica is out: the first time, and at most, for each trial that fails doubles it."""


class State(Enum):
    CLOSED = "closed"
    HALF_OPEN = "half-open"
    OPEN = "open"


class Breaker:
    """Judges by requests that began since it last opened: what began before belongs to the replica's earlier life."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.closed = True
        self.stalled = False
        self.epoch = 0
        self.trying = False
        self._failures = 0
        self._until = 0.0
        self._seconds = 0.0

    @property
    def state(self) -> State:
        if self.closed:
            return State.CLOSED
        return State.OPEN if self._clock() < self._until else State.HALF_OPEN

    def try_once(self) -> bool:
        """Whether a request that begins now is the trial; there is one at a time, until `tried`."""
        if self.closed or self.trying or self.state is State.OPEN:
            return False
        self.trying = True
        return True

    def tried(self) -> None:
        """The trial is over, whatever came of it: a client that left proves nothing."""
        self.trying = False

    def succeeded(self, epoch: int) -> None:
        """An answer came through to a request that began in `epoch`."""
        if epoch == self.epoch and (self._failures or not self.closed):
            self._close()

    def failed(self, epoch: int) -> None:
        """The replica broke, fell silent or said 5xx to a request that began in `epoch`."""
        if epoch != self.epoch:
            return
        if self.closed:
            self._failures += 1
            if self._failures >= FAILURES:
                self._open(EJECTED_SECONDS)
        elif self.state is State.HALF_OPEN:
            self._open(min(self._seconds * 2, EJECTED_MOST))

    def stall(self) -> None:
        """The replica owes many and sends nobody a byte."""
        if self.closed:
            self._open(EJECTED_SECONDS)
            self.stalled = True

    def prolong(self) -> None:
        """Requests still hang there: they are trial enough, no other needs to join them."""
        self._until = self._clock() + self._seconds

    def heard(self) -> None:
        """A byte came from it, so that it does not stall (any more)."""
        if self.stalled:
            self._close()

    def _open(self, seconds: float) -> None:
        self.closed = False
        self.stalled = False
        self.trying = False
        self.epoch += 1
        self._failures = 0
        self._seconds = seconds
        self._until = self._clock() + seconds

    def _close(self) -> None:
        self.closed = True
        self.stalled = False
        self.trying = False
        self._failures = 0
