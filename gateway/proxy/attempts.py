"""Where a request may go next: its model's replicas, then its fallbacks', within the budget of retries."""

from __future__ import annotations

from gateway.proxy.call import Call
from gateway.routing.affinity import prefix
from gateway.routing.backend import Backend
from gateway.routing.queue import Queue
from gateway.routing.replica import Replica
from gateway.routing.table import Target
from praxis.errors import Overloaded, PraxisError

MAX_ATTEMPTS = 3


class Attempts:
    """The attempts of one request. `target` is where it is, or was last; `error` what its client is told if no more
    can be tried."""

    __slots__ = (
        "_budgeted",
        "_call",
        "_choices",
        "_session",
        "_targets",
        "count",
        "error",
        "target",
        "tried",
    )

    def __init__(self, targets: tuple[Target, ...], call: Call, session: str) -> None:
        self._targets = targets
        self._choices = targets
        self._call = call
        self._session = session
        self.target = targets[0]
        self.tried: list[Replica] = []
        self.count = 0
        self.error: PraxisError | None = None
        self._budgeted: Backend | None = None

    def next(self) -> Replica | Queue | None:
        """The replica to try now, or the queue to wait in for one; None when there is nothing left, and `error` says why."""
        while self._choices:
            target = self.target = self._choices[0]
            backend = target.backend
            replica = self._pick(target)
            if (replica is not None or backend.full(self.tried, target.serves)) and (
                # Only what comes after a failure there is a retry.
                self._budgeted is not backend or backend.may_retry()
            ):
                return replica or backend.queue
            self._choices = self._choices[1:]
        if self.error is None:
            self.error = unavailable(self._targets[0])
        return None

    def look(self) -> Replica | None:
        """A replica of `target` with room, for a request that waits. Raises PraxisError when there will be none."""
        target = self.target
        replica = self._pick(target)
        if replica is None and not target.backend.full(self.tried, target.serves):
            raise unavailable(target)
        return replica

    def begin(self, replica: Replica) -> None:
        """`replica` is tried now."""
        self.count += 1
        self.tried.append(replica)
        backend = self.target.backend
        if self._budgeted is not backend:
            backend.budget.request()
        self._budgeted = backend

    def failed(self, error: PraxisError, *, free: bool) -> bool:
        """An attempt failed with `error`; whether there may be another. A `free` one is not charged to the backend's
        budget: it was our own doing that the request went there."""
        if self.error is None or not _sooner(self.error, error):
            self.error = error
        if free:
            self._budgeted = None
        return self.count < MAX_ATTEMPTS

    def unreachable(self, replica: Replica) -> None:
        """Nobody listened at `replica`: it never got the request, and gets no other before a probe finds it."""
        self.count -= 1
        self.tried.remove(replica)
        self._budgeted = None

    def shed(self, error: PraxisError) -> None:
        """The queue gave the request up: only other models are left."""
        if self.error is None:
            self.error = error
        self._choices = self._choices[1:]

    def _pick(self, target: Target) -> Replica | None:
        backend = target.backend
        if not backend.sticky:
            return backend.pick(self.tried, target.serves)
        affinity = self._session or (prefix(self._call.data) if backend.affinity == "prefix" else None)
        return backend.pick(self.tried, target.serves, affinity)


def _sooner(first: PraxisError, second: PraxisError) -> bool:
    """Whether `first` lets the client come back earlier, where both say when."""
    if first.retry_after is None or second.retry_after is None:
        return False
    return first.retry_after < second.retry_after


def unavailable(target: Target) -> PraxisError:
    """The error of a request that finds no replica to go to."""
    backend = target.backend
    if target.adapter and backend.up:
        return Overloaded(
            f"The adapter `{target.model}` is not loaded on any replica of backend `{backend.name}` yet; "
            "ask again shortly.",
            retry_after=2,
        )
    return Overloaded(
        f"Backend `{backend.name}` is down: none of its replicas accepts connections. Ask again shortly; "
        "`praxis doctor` tells the operator more.",
        retry_after=2,
    )
