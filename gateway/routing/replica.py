"""A replica: one engine process behind the gateway, what is known of its health, and what it has in flight."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from math import inf
from typing import TYPE_CHECKING, Literal

from gateway.backends.load import Load
from gateway.proxy.connection import Pool
from gateway.routing.breaker import FAILURES, Breaker, State
from gateway.routing.pressure import Pressure
from gateway.routing.silence import Silence

if TYPE_CHECKING:
    import asyncio

BUSY_MOST = 60.0
"""Seconds for which a replica's Retry-After is believed; whoever asks for more is asked again after a minute."""

BUSY_SECONDS = 1.0
"""For a replica that says 429 or 503 without a Retry-After, as vLLM does."""


class Standing(IntEnum):
    """How good a choice a replica is. A worse one is taken only when there is none better."""

    GOOD = 0
    SPARE = 1
    """`weight: 0`"""
    BUSY = 2
    """it asked to be left alone for a while"""
    OUT = 3
    """it fails in traffic, or is on trial with another request"""


class Lease:
    """One request's place on a replica; given back exactly once, however often `release` is called."""

    __slots__ = ("_epoch", "_held", "_paused", "_stream", "replica", "trial")

    def __init__(self, replica: Replica, stream: bool = False) -> None:
        self.replica = replica
        self._stream = stream
        self._held = True
        self._paused = False
        breaker = replica.breaker
        self._epoch = breaker.epoch
        self.trial = not breaker.closed and breaker.try_once()
        replica.in_flight += 1
        replica.silence.owed(stream, 1)

    def release(self) -> None:
        if self._held:
            self._held = False
            replica = self.replica
            replica.in_flight -= 1
            if not self._paused:
                replica.silence.owed(self._stream, -1)
            if self.trial:
                replica.breaker.tried()
            if replica.freed is not None:
                replica.freed()

    def paused(self, paused: bool) -> None:
        """Nothing is read for this request because its client is slow: then silence is none of the replica's fault."""
        if self._held and paused != self._paused:
            self._paused = paused
            self.replica.silence.owed(self._stream, -1 if paused else 1)

    def succeeded(self) -> None:
        """An engine's answer came through, whatever the client thinks of it."""
        self.replica.reachable = True
        self.replica.breaker.succeeded(self._epoch)

    def failed(self) -> None:
        """A fault of the replica: broken, silent, or a 5xx."""
        self.replica.breaker.failed(self._epoch)


class Replica:
    """One engine process. `models` maps what its own /v1/models lists to the context length it gives, in tokens."""

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.url = url
        self.pool = Pool(url, loop)
        self.weight = 1.0
        self.limit = inf
        self.freed: Callable[[], None] | None = None
        self.in_flight = 0
        self.models: dict[str, int | None] = {}
        self.changes = 0
        self.answered = False
        self.reachable = True
        self.breaker = Breaker(loop.time)
        self.pressure = Pressure()
        self.busy_until = 0.0
        self._clock = loop.time
        self.silence = Silence()
        self._missed_probes = 0

    # What is in flight

    def load(self, now: float) -> float:
        """How loaded it is: our requests there, and what the engine says beyond them."""
        if self.pressure.felt:
            return self.in_flight + self.pressure.beyond(self.in_flight, now)
        return self.in_flight

    @property
    def engine_load(self) -> Load | None:
        """What the engine said of its load, while that is news."""
        return self.pressure.fresh(self._clock())

    # Adapters

    def loaded(self, name: str) -> None:
        """An adapter was loaded there just now."""
        self.models = self.models | {name: None}
        self.changes += 1

    def unloaded(self, name: str) -> None:
        self.models = {each: length for each, length in self.models.items() if each != name}
        self.changes += 1

    def listed(self, models: dict[str, int | None], changes: int) -> None:
        """The replica's own list, asked for when it had seen `changes`; one that a change overtook is old news."""
        if changes == self.changes:
            self.models = models

    # Health

    def standing(self, now: float) -> Standing:
        if not self.breaker.closed and (self.breaker.trying or self.breaker.state is State.OPEN):
            return Standing.OUT
        if now < self.busy_until:
            return Standing.BUSY
        return Standing.GOOD if self.weight else Standing.SPARE

    @property
    def ejected(self) -> bool:
        return self.breaker.state is State.OPEN

    @property
    def trouble(self) -> Literal["unreachable", "stalled", "failing", "busy"] | None:
        """What is the matter with it: no probe reaches it, it owes many and sends nothing, it fails in traffic, or it asked
        to be left alone for a while."""
        if not self.reachable:
            return "unreachable"
        if not self.breaker.closed:
            return "stalled" if self.breaker.stalled else "failing"
        return "busy" if self._clock() < self.busy_until else None

    def busy(self, seconds: float | None) -> None:
        """It said 429 or 503, and perhaps for how long."""
        wait = BUSY_SECONDS if seconds is None else min(seconds, BUSY_MOST)
        self.busy_until = max(self.busy_until, self._clock() + wait)

    def refused(self) -> None:
        """Nobody listens there; the next probe that succeeds brings it back."""
        self.reachable = False

    def scraped(self, load: Load) -> None:
        """The engine told its own load."""
        now = self._clock()
        self.pressure.scraped(load, self.in_flight, now)
        if self.silence.counted(load.tokens, now):
            self.breaker.heard()

    def watch(self, now: float, patience: float) -> None:
        """Take it out when it has owed several requests bytes for longer than `patience` and sent none to anybody."""
        if self.silence.heard(self.pool.heard):
            self.breaker.heard()
        if self.breaker.stalled:
            if self.in_flight:
                self.breaker.prolong()
        elif self.silence.lasted(now) > patience:
            self.breaker.stall()

    def probe_answered(self) -> None:
        self.answered = True
        self.reachable = True
        self._missed_probes = 0

    def probe_missed(self, *, refused: bool) -> None:
        """A probe got no good answer. A busy engine may miss one; a closed port is believed at once."""
        self._missed_probes += 1
        if refused or self._missed_probes >= FAILURES:
            self.reachable = False
