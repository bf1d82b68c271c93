"""A backend: interchangeable replicas of one engine, and the choice among them."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from math import inf
from time import monotonic

from gateway.backends import Dialect
from gateway.routing.affinity import Affinity
from gateway.routing.budget import Budget
from gateway.routing.queue import Queue
from gateway.routing.replica import Replica, Standing
from gateway.routing.ring import Ring, bound

Serves = Callable[[Replica], bool]
"""Whether a replica can answer at all; None where each can."""


@dataclass(slots=True)
class Backend:
    """A group of replicas, as one version of models.yaml names it. Its `queue` and `budget` outlive the version."""

    name: str
    dialect: Dialect
    replicas: Sequence[Replica]
    api_key: str | None = field(default=None, repr=False)
    affinity: Affinity = "none"
    stalled_after: float = 20.0
    queue: Queue = field(default_factory=lambda: Queue(""))
    budget: Budget = field(default_factory=Budget)
    clock: Callable[[], float] = monotonic
    draw: Callable[[], float] = random.random
    ring: Ring[Replica] = field(init=False)
    limited: bool = field(init=False)
    """Whether some replica takes only so many requests at once."""
    sticky: bool = field(init=False)
    """Whether there is a choice that what requests have in common can decide."""

    def __post_init__(self) -> None:
        self.limited = any(each.limit < inf for each in self.replicas)
        self.sticky = self.affinity != "none" and len(self.replicas) > 1
        sticky = self.replicas if self.sticky else ()
        self.ring = Ring((each.url, each.weight, each) for each in sticky if each.weight)

    @property
    def up(self) -> bool:
        return any(replica.reachable for replica in self.replicas)

    @property
    def answered(self) -> bool:
        return any(replica.answered for replica in self.replicas)

    @property
    def in_flight(self) -> int:
        return sum(replica.in_flight for replica in self.replicas)

    def may_retry(self) -> bool:
        """Whether the retry budget has one more; it is taken when it has."""
        return self.budget.spend(self.in_flight)

    def pick(
        self, tried: Collection[Replica], serves: Serves | None, affinity: str | None = None
    ) -> Replica | None:
        """The replica for a request, or None when none is left or none has room (`full` tells which).

        `affinity` is what its session has in common, if anything. Replicas taken out for failing in traffic are used
        when they are all that is left: a fault that follows the requests around must not turn a limping backend
        into a dead one.
        """
        now = self.clock()
        best = []
        for replica in self.replicas:
            if not replica.reachable or replica in tried or (serves is not None and not serves(replica)):
                continue
            if not replica.breaker.closed or replica.busy_until > now or not replica.weight:
                # They are not all alike, as they nearly always are.
                best = self._best(tried, serves, now)
                break
            best.append(replica)
        free = [each for each in best if each.in_flight < each.limit] if self.limited else best
        if len(free) < 2:
            return free[0] if free else None
        if affinity is not None and (bound_to := self._bound(affinity, best, free, now)) is not None:
            return bound_to
        return self._less_loaded(free, now)

    def full(self, tried: Collection[Replica], serves: Serves | None) -> bool:
        """Whether there are replicas to wait for."""
        best = self._best(tried, serves, self.clock())
        return any(replica.in_flight >= replica.limit for replica in best)

    def ejected(self, replica: Replica) -> bool:
        """Whether `replica` is passed over for failing in traffic: never the last one."""
        now = self.clock()
        return replica.ejected and any(
            each.reachable and each.standing(now) < Standing.OUT for each in self.replicas
        )

    def _best(self, tried: Collection[Replica], serves: Serves | None, now: float) -> list[Replica]:
        """The replicas of the best standing that is left. One that asked to be left alone is not tried after another:
        then it is the client that has to wait."""
        best: list[Replica] = []
        least = Standing.OUT
        for replica in self.replicas:
            if not replica.reachable or replica in tried or (serves is not None and not serves(replica)):
                continue
            standing = replica.standing(now)
            if standing < least:
                best, least = [replica], standing
            elif standing == least:
                best.append(replica)
        if least is Standing.BUSY:
            return [] if tried else [min(best, key=lambda replica: replica.busy_until)]
        return best

    def _bound(
        self, affinity: str, best: Sequence[Replica], free: Sequence[Replica], now: float
    ) -> Replica | None:
        """The first replica of the session's own order that has room and is not loaded beyond its bound."""
        total = sum(replica.load(now) for replica in best)
        weights = sum(replica.weight for replica in best)
        for replica in self.ring.order(affinity):
            if replica in free and replica.load(now) + 1 <= bound(total, replica.weight / weights):
                return replica
        return None

    def _less_loaded(self, free: Sequence[Replica], now: float) -> Replica:
        """The less loaded of two, each drawn by its weight; the first where they are equal, so that idle replicas
        share by weight too."""
        if len(free) == 2:
            first, second = free
            weight = first.weight or 1.0
            if self.draw() * (weight + (second.weight or 1.0)) >= weight:
                first, second = second, first
        else:
            first = self._drawn(free)
            second = self._drawn([replica for replica in free if replica is not first])
        # Cross-multiplied, as spare replicas all weigh 0.
        less = second.load(now) * (first.weight or 1.0) < first.load(now) * (second.weight or 1.0)
        return second if less else first

    def _drawn(self, among: Sequence[Replica]) -> Replica:
        mark = self.draw() * sum(replica.weight or 1.0 for replica in among)
        for replica in among:
            mark -= replica.weight or 1.0
            if mark < 0:
                return replica
        return among[-1]
