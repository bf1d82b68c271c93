"""A replica: one engine process behind the gateway, what is known of its health, and what it has in flight."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from gateway.backends import Dialect
from gateway.proxy.connection import Pool

FAILURES = 3
"""Failures in a row, seen in traffic or by probes, that take a replica out."""

EJECTED_SECONDS = 10.0


class Lease:
    """One request's place on a replica; given back exactly once, however often `release` is called."""

    __slots__ = ("_held", "replica")

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self._held = True
        replica.in_flight += 1

    def release(self) -> None:
        if self._held:
            self._held = False
            self.replica.in_flight -= 1


class Replica:
    """One engine process. `models` maps what its own /v1/models lists to the context length it gives, in tokens."""

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.url = url
        self.pool = Pool(url, loop)
        self.in_flight = 0
        self.models: dict[str, int | None] = {}
        self.changes = 0
        self.answered = False
        self.reachable = True
        self._loop = loop
        self._failures = 0
        self._missed_probes = 0
        self._ejected_until = 0.0

    @property
    def ejected(self) -> bool:
        return self._loop.time() < self._ejected_until

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

    def succeeded(self) -> None:
        """An engine's answer came through, whatever the client thinks of it."""
        self._failures = 0
        self._ejected_until = 0.0
        self.reachable = True

    def failed(self) -> None:
        """A fault of the replica in traffic: broken, silent, or a 5xx. After its time out one failure is enough."""
        self._failures += 1
        if self._failures >= FAILURES:
            self._ejected_until = self._loop.time() + EJECTED_SECONDS

    def refused(self) -> None:
        """Nobody listens there; the next probe that succeeds brings it back."""
        self.reachable = False

    def probe_answered(self) -> None:
        self.answered = True
        self.reachable = True
        self._missed_probes = 0

    def probe_missed(self, *, refused: bool) -> None:
        """A probe got no good answer. A busy engine may miss one; a closed port is believed at once."""
        self._missed_probes += 1
        if refused or self._missed_probes >= FAILURES:
            self.reachable = False


@dataclass(slots=True)
class Backend:
    """A group of interchangeable replicas, as models.yaml names it."""

    name: str
    dialect: Dialect
    replicas: Sequence[Replica]
    api_key: str | None = field(default=None, repr=False)

    @property
    def up(self) -> bool:
        return any(replica.reachable for replica in self.replicas)

    @property
    def answered(self) -> bool:
        return any(replica.answered for replica in self.replicas)

    def pick(self, tried: Collection[Replica], serves: Callable[[Replica], bool]) -> Replica | None:
        """The less loaded of two random usable replicas, or None when none is left.

        Replicas taken out for failing in traffic are used when they are all that is left: a fault that follows
        the requests around must not turn a limping backend into a dead one.
        """
        usable = [each for each in self.replicas if each.reachable and each not in tried and serves(each)]
        preferred = [each for each in usable if not each.ejected] or usable
        if not preferred:
            return None
        if len(preferred) == 1:
            return preferred[0]
        first, second = random.sample(preferred, 2)
        return first if first.in_flight <= second.in_flight else second
