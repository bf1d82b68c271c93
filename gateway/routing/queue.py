"""The queue of a backend whose replicas are all full: bounded, fair between keys, and gone from as soon as a client is.

Each key has a lane. Lanes take turns, and within one who came first goes first, so that a key which floods the
backend makes only its own requests wait. There is no task or future for a waiter: it is called back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from math import ceil
from time import monotonic
from typing import Protocol

from gateway.routing.rate import Rate
from gateway.routing.replica import Replica
from praxis.errors import Overloaded, PraxisError, RateLimited

LOOKS = 8
"""Waiters asked when a place becomes free. Nearly always the first takes it; one that waits for an adapter elsewhere
does not, and whom this many asked leave out the next tick finds."""

RETRY_MOST = 60


class Waiter(Protocol):
    """A request in the queue. After `granted` or `shed` it is not in the queue any more."""

    def look(self) -> Replica | None:
        """A replica with room that it may go to now. Raises PraxisError when there is nothing left to wait for."""

    def granted(self, replica: Replica) -> None: ...

    def shed(self, error: PraxisError) -> None: ...


class Queue:
    """Holds at most `size` waiters, each for at most `wait` seconds; `name` is the backend's."""

    def __init__(self, name: str, clock: Callable[[], float] = monotonic) -> None:
        self._name = name
        self._clock = clock
        self._lanes: dict[str, dict[Waiter, float]] = {}
        self._length = 0
        self._granting = False
        self._rate = Rate(clock)
        self.size = 0
        self.wait = 0.0

    def __len__(self) -> int:
        return self._length

    def configure(self, size: int, wait: float) -> None:
        """Follow a changed configuration; those who wait keep the time that they were promised."""
        self.size = size
        self.wait = wait

    def enter(self, waiter: Waiter, key: str, *, ahead: bool = False) -> None:
        """Wait in the lane of `key`, `ahead` of it when the request has waited before. When the queue is full, who has
        more than a fair share of it gives way: `waiter` itself, or the last to come of the longest lane."""
        lane = self._lanes.get(key, {})
        if self._length >= self.size and not self._make_way(waiter, key, len(lane)):
            return
        lane = self._lanes.setdefault(key, {})
        until = self._clock() + self.wait
        if ahead:
            self._lanes[key] = {waiter: until, **lane}
        else:
            lane[waiter] = until
        self._length += 1

    def leave(self, waiter: Waiter, key: str) -> None:
        """Forget `waiter`, whose client has left or whose time is over; one that is not here is forgotten already."""
        lane = self._lanes.get(key)
        if lane is None or lane.pop(waiter, None) is None:
            return
        self._length -= 1
        if not lane:
            del self._lanes[key]

    def freed(self) -> None:
        """A request ended: its place goes to the next."""
        self._rate.event()
        if self._length and not self._granting:
            self._grant(LOOKS)

    def tick(self) -> None:
        """Shed who has waited for too long; let in whoever can go now, for whatever reason there is room."""
        if not self._length:
            return
        now = self._clock()
        for key, waiter, until in list(self._all()):
            if until <= now:
                self.leave(waiter, key)
                waiter.shed(self._expired())
        while self._length and self._grant(self._length):
            continue

    def full(self) -> Overloaded:
        """The error of a request that finds everything taken."""
        return Overloaded(
            f"Every replica of backend `{self._name}` is full and {self._waiting()}; "
            "ask again later. The operator can raise `max_in_flight` or `queue.size`, or add a replica.",
            code="backend_full",
            retry_after=self._seconds(self._length + 1),
        )

    def _grant(self, looks: int) -> bool:
        """Let one waiter in, if one of the first `looks` can go."""
        self._granting = True
        try:
            for key, waiter, _ in list(islice(self._all(), looks)):
                try:
                    replica = waiter.look()
                except PraxisError as error:
                    self.leave(waiter, key)
                    waiter.shed(error)
                    continue
                if replica is not None:
                    self.leave(waiter, key)
                    # This lane has had its turn.
                    if key in self._lanes:
                        self._lanes[key] = self._lanes.pop(key)
                    waiter.granted(replica)
                    return True
            return False
        finally:
            self._granting = False

    def _all(self) -> Iterator[tuple[str, Waiter, float]]:
        """Every waiter in the order of their turns: the first of each lane, then the second of each …

        To be read before anything changes.
        """
        lanes = [(key, iter(lane.items())) for key, lane in self._lanes.items()]
        while lanes:
            left = []
            for key, waiting in lanes:
                for waiter, until in waiting:
                    yield key, waiter, until
                    left.append((key, waiting))
                    break
            lanes = left

    def _make_way(self, waiter: Waiter, key: str, held: int) -> bool:
        """Whether a place was found in the full queue; the one who has to go has been told."""
        lanes = len(self._lanes) + (not held)
        share = self.size / lanes
        if held and held >= max(1.0, share):
            waiter.shed(self._greedy(held, lanes))
            return False
        longest = max(self._lanes, key=lambda each: len(self._lanes[each]), default=None)
        if longest is None or len(self._lanes[longest]) <= max(1.0, share):
            waiter.shed(self.full())
            return False
        count = len(self._lanes[longest])
        last = next(reversed(self._lanes[longest]))
        self.leave(last, longest)
        last.shed(self._greedy(count, lanes))
        return True

    def _greedy(self, held: int, lanes: int) -> RateLimited:
        return RateLimited(
            f"Backend `{self._name}` is full and this key already has {held} of the {self.size} places in its queue; "
            "send fewer requests at a time.",
            code="queue_share_exceeded",
            retry_after=self._seconds(held * lanes),
        )

    def _expired(self) -> Overloaded:
        return Overloaded(
            f"No replica of backend `{self._name}` became free within {self.wait:g} s (`queue.wait`); ask again later.",
            code="queue_timeout",
            retry_after=self._seconds(self._length + 1),
        )

    def _waiting(self) -> str:
        return (
            f"{self._length} requests wait already" if self._length else "none may wait (`queue.size` is 0)"
        )

    def _seconds(self, places: int) -> float:
        """Until so many requests have been let in, at the rate of late; with none seen, the time that one may wait."""
        rate = self._rate.per_second()
        return min(max(1, ceil(places / rate if rate else self.wait)), RETRY_MOST)
