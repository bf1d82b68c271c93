"""What is known of one request when it has ended: logs, metrics, usage, limits and traces are all made of it."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from praxis.keys import Principal

GAPS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""The upper bounds, in seconds, by which the gaps of a stream are counted."""


BATCH = 32
SOON_SECONDS = 0.02
"""How many ended requests most observers hear of together, and how long they wait for so many."""


class Ticket(Protocol):
    """A request's admission by its key's limits."""

    def lines(self) -> bytes:
        """What the client is told of its limits, as lines of a reply's head."""

    def settle(self, tokens: int | None) -> None:
        """The request is over and used so many tokens; None leaves the estimate. Called exactly once."""


@dataclass(slots=True, eq=False)
class Record:
    """One request from its arrival to its end. Instants are of `time.monotonic`, in seconds; 0 means that it never came.
    uvloop's own clock, though the same, counts milliseconds: too coarse for what a gateway takes.

    `model` is the public name asked for once it is known to exist, so that labels made of it stay bounded;
    `served_by` the name in models.yaml that answered, `revision` the `name@revision` of an adapter that was chosen.
    `outcome` is the reply's status, `broken` for a reply cut after its start, or `cancelled` when the client left.
    `error` is the house's error type, empty when all went well.
    `session` is what the client says belongs together, for routing alone. `queued` is when it last began to wait for a
    replica with room, `waited` the seconds of it before `sent`.
    `gaps` counts the times between a stream's reads by `GAPS`, those beyond the last bound too; `gap_seconds` is their
    sum. A client's own slowness is none of them. `traceparent` is what the engine gets: the client's own, or with traces
    the request's own span, whose parent in the client is `parent_span`; the client's `tracestate` goes with it.
    The tokens are the engine's own count, or for want of one an estimate. `made_with` is the model of a grounded answer,
    whose tokens are counted where the document process asks that model.
    """

    request_id: str
    path: str
    at: float
    began: float
    session: str = ""
    traceparent: str = ""
    tracestate: str = ""
    principal: Principal | None = None
    model: str = ""
    stream: bool = False
    served_by: str = ""
    revision: str = ""
    backend: str = ""
    replica: str = ""
    attempts: int = 0
    queued: float = 0.0
    waited: float = 0.0
    sent: float = 0.0
    first_event: float = 0.0
    last_event: float = 0.0
    largest_gap: float = 0.0
    gap_seconds: float = 0.0
    gaps: list[int] | None = None
    ended: float = 0.0
    outcome: str = ""
    error: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    made_with: str = ""
    parent_span: str = ""
    sampled: bool = False
    ticket: Ticket | None = None

    def streams(self) -> None:
        """The reply is a stream: its gaps count from here."""
        self.last_event = self.first_event
        self.gaps = [0] * (len(GAPS) + 1)

    def read(self, now: float) -> None:
        """More of the stream came."""
        assert self.gaps is not None
        gap = now - self.last_event
        self.last_event = now
        self.gap_seconds += gap
        self.gaps[bisect_left(GAPS, gap)] += 1
        if gap > self.largest_gap:
            self.largest_gap = gap


class Tracing(Protocol):
    """Who gives requests their place in a trace."""

    def began(self, record: Record) -> None:
        """Give a request that arrived its own `traceparent`, within microseconds."""


class Observer(Protocol):
    """Who is told of every request, exactly once, when it is over."""

    def ended(self, record: Record) -> None:
        """Take note, within microseconds: this runs on the event loop, between two requests."""


class Observers:
    """Several observers as one: `at_once` is told when a request ends, the `others` soon after, of many requests together.

    What an observer runs has left the processor's caches between one request and the next; for a batch it comes in once,
    which makes it three times as fast.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, at_once: Observer, others: Sequence[Observer]
    ) -> None:
        self._loop = loop
        self._at_once = at_once
        self._others = others
        self._ended: list[Record] = []
        self._timer: asyncio.TimerHandle | None = None

    def ended(self, record: Record) -> None:
        self._at_once.ended(record)
        self._ended.append(record)
        if len(self._ended) >= BATCH:
            self.tell()
        elif self._timer is None:
            self._timer = self._loop.call_later(SOON_SECONDS, self._due)

    def tell(self) -> None:
        """Tell the others now of what they have not heard yet."""
        ended, self._ended = self._ended, []
        for observer in self._others:
            for record in ended:
                observer.ended(record)

    def _due(self) -> None:
        self._timer = None
        self.tell()
