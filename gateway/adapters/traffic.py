"""The requests to adapters, as this gateway sees them: which revision each goes to, what is in flight on which, and
what came of it. Requests to base models never come here."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from hashlib import blake2b

from gateway.proxy.record import Record
from gateway.routing.table import Route, Split, Target
from praxis.errors import Overloaded

MOST = 1_000
"""Revisions whose counts wait to be written while the database is away."""


class Cold(Exception):
    """The revision that should answer is at no replica yet; whoever asks waits for it."""

    def __init__(self, target: Target) -> None:
        super().__init__(target.upstream)
        self.target = target


@dataclass(slots=True)
class Counts:
    """What a revision did. `errors` are its own and its engine's, none of the client's; `seconds` is the sum of the whole
    requests', `first_seconds` of the times to the first event, of those `answered`."""

    requests: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    answered: int = 0
    seconds: float = 0.0
    first_seconds: float = 0.0

    def add(self, other: Counts) -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


class Traffic:
    """Chooses among an adapter's revisions, and observes the requests that were sent to one."""

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        self._draw = draw
        self._flying: dict[str, int] = {}
        self._used: dict[str, float] = {}
        self._counts: dict[str, Counts] = {}

    def admit(self, route: Route, record: Record) -> Target:
        """Where a request to an adapter goes; it is in flight there until `ended`. Raises Cold."""
        target = route.targets[0]
        if route.split is not None and self._to_canary(route, route.split, record):
            target = route.split.target
        upstream = target.upstream
        self._used[upstream] = time.time()
        if target.lazy and not any(
            each.reachable and upstream in each.models for each in target.backend.replicas
        ):
            raise Cold(target)
        record.model, record.revision = route.name, upstream
        self._flying[upstream] = self._flying.get(upstream, 0) + 1
        return target

    def ended(self, record: Record) -> None:
        """The request is over: as an observer hears of it."""
        upstream = record.revision
        if not upstream:
            return
        left = self._flying.get(upstream, 1) - 1
        if left:
            self._flying[upstream] = left
        else:
            self._flying.pop(upstream, None)
        if not record.sent:
            return  # no engine ever saw it
        counts = self._counts.get(upstream)
        if counts is None:
            if len(self._counts) >= MOST:
                return
            counts = self._counts[upstream] = Counts()
        counts.requests += 1
        counts.prompt_tokens += record.prompt_tokens
        counts.completion_tokens += record.completion_tokens
        if record.error and not record.outcome.startswith("4"):
            counts.errors += 1
        if record.first_event:
            counts.answered += 1
            counts.seconds += record.ended - record.began
            counts.first_seconds += record.first_event - record.began

    def flying(self, upstream: str) -> int:
        """Requests in flight on the revision `upstream` here."""
        return self._flying.get(upstream, 0)

    @property
    def busy(self) -> frozenset[str]:
        """The revisions with requests in flight here."""
        return frozenset(self._flying)

    @property
    def used(self) -> Mapping[str, float]:
        """When each revision was last asked for here, Unix seconds."""
        return self._used

    def forget(self, upstream: str) -> None:
        """The revision is gone for good."""
        self._used.pop(upstream, None)

    def counted(self) -> dict[str, Counts]:
        """What was counted since the last time, by revision; the caller keeps it from now on."""
        counted, self._counts = self._counts, {}
        return counted

    def uncounted(self, counted: Mapping[str, Counts]) -> None:
        """Take back what could not be kept."""
        for upstream, counts in counted.items():
            self._counts.setdefault(upstream, Counts()).add(counts)

    def _to_canary(self, route: Route, split: Split, record: Record) -> bool:
        if split.by == "key":
            principal = record.principal
            return mark(route.name, principal.key_id if principal is not None else "") < split.share
        if record.session:
            return mark(route.name, record.session) < split.share
        return self._draw() < split.share


def mark(name: str, whose: str) -> float:
    """Where a session or key stands between 0 and 1 for the adapter `name`: always the same place, in every gateway. The
    canary's share of the line begins at 0, so that a share that grows keeps whom it had."""
    digest = blake2b(f"{name}\0{whose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def too_cold(target: Target, waited: float) -> Overloaded:
    """The answer to whoever has waited for long enough."""
    return Overloaded(
        f"The adapter `{target.upstream}` was not loaded within {waited:g} s (`adapter_wait`): every slot of backend "
        f"`{target.backend.name}` is in use. Ask again shortly.",
        code="adapter_cold",
        retry_after=2,
    )
