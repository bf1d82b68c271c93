"""One request on its way to an engine and back: attempts, timeouts, cancellation, and an honest end.

An `Exchange` is a state machine without input or output of its own. Below it a `Connection` tells it what the
engine sends; above it a `Sink` takes what the client gets: the server's own protocol class (gateway/server.py) or
ASGI (proxy/asgi.py). What it learns goes into a `Record`, which the observers get when all is over.

Nothing goes to the sink before the engine's first event (of a stream) or whole body (of a plain reply that is not too
long to hold), so that everything before it can be tried again elsewhere. Nothing is tried again after it.
"""

from __future__ import annotations

from enum import Enum, auto
from time import monotonic
from typing import Any

import orjson

from gateway.backends.dialect import seconds
from gateway.proxy.attempts import Attempts, unavailable
from gateway.proxy.connection import Connection
from gateway.proxy.edit import Edit
from gateway.proxy.estimate import prompt_tokens
from gateway.proxy.events import EventStream, Rename, rename, tokens
from gateway.proxy.head import ReplyHead
from gateway.proxy.plain import PlainReply
from gateway.proxy.plan import Plan
from gateway.proxy.record import Observer, Record
from gateway.proxy.responses import PATH as RESPONSES
from gateway.proxy.responses import ResponseStream
from gateway.proxy.sink import Sink, send_error, shutting_down
from gateway.proxy.sweep import Sweep
from gateway.proxy.waiting import Dialing, InQueue
from gateway.proxy.writes import Writes
from gateway.routing.queue import Queue
from gateway.routing.replica import Lease, Replica
from praxis.errors import Overloaded, PraxisError, UpstreamError, UpstreamTimeout

MAX_ERROR = 64 * 1024
AFTER_DONE_SECONDS = 1.0


class Phase(Enum):
    QUEUED = auto()
    CONNECTING = auto()
    WAITING = auto()
    STREAMING = auto()
    DRAINING = auto()
    OVER = auto()


# Finding a member in its class takes Python 3.11 many times as long.
QUEUED, CONNECTING, WAITING, STREAMING, DRAINING, OVER = Phase


class Exchange:
    """Carries out one `Plan` into one `Sink`. `start` it once; `cancel` it when the client goes away."""

    __slots__ = (
        "_attempts",
        "_connection",
        "_deadline",
        "_events",
        "_fresh",
        "_lease",
        "_loop",
        "_observer",
        "_paused",
        "_phase",
        "_plain",
        "_plan",
        "_record",
        "_refusal",
        "_reply",
        "_sends",
        "_sink",
        "_stalled",
        "_sweep",
        "_target",
        "_told",
        "_total",
        "_waiting",
        "_writes",
    )

    def __init__(
        self, plan: Plan, sink: Sink, record: Record, sweep: Sweep, writes: Writes, observer: Observer
    ) -> None:
        self._plan = plan
        self._sink = sink
        self._record = record
        self._sweep = sweep
        self._writes = writes
        self._observer = observer
        self._loop = sweep.loop
        self._target = plan.targets[0]
        self._total = record.began + self._target.timeouts.total
        self._attempts = Attempts(plan.targets, plan.call, record.session)
        self._phase = CONNECTING
        self._deadline = 0.0
        self._sends = 0
        self._fresh = True
        self._stalled = self._paused = self._told = False
        self._waiting: InQueue | Dialing | None = None
        self._connection: Connection | None = None
        self._lease: Lease | None = None
        self._reply: ReplyHead | None = None
        self._refusal: list[bytes] | None = None
        self._events: EventStream | None = None
        self._plain: PlainReply | None = None

    # What the sink's owner calls

    def start(self) -> None:
        """Begin; the sink hears the rest."""
        self._sweep.add(self)
        self._attempt()

    def cancel(self) -> None:
        """The client is gone: the engine is told at once by closing its connection."""
        if self._phase is not OVER and self._phase is not DRAINING:
            self._record.outcome = "cancelled"
            self._finish()

    def stop(self) -> None:
        """The gateway is shutting down and its patience has run out."""
        self._fail(shutting_down())

    def pause(self) -> None:
        """The client is slower than the engine: stop reading, and stop the clock of `idle` meanwhile."""
        self._paused = True
        if self._lease is not None:
            self._lease.paused(True)
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._deadline = self._loop.time() + self._target.timeouts.idle
            self._record.last_event = monotonic()
            if self._lease is not None:
                self._lease.paused(False)
            if self._connection is not None:
                self._connection.resume()

    # Attempts

    def _attempt(self) -> None:
        found = self._attempts.next()
        self._target = self._attempts.target
        if isinstance(found, Replica):
            self._begin_at(found)
        elif found is not None:
            self._enter(found)
        else:
            assert self._attempts.error is not None
            self._fail(self._attempts.error)

    def _enter(self, queue: Queue) -> None:
        """Every replica is full."""
        self._phase = QUEUED
        self._deadline = self._total
        # It may be over before `enter` returns.
        self._waiting = place = InQueue(queue, self._attempts, self._record, self._granted, self._shed)
        place.enter()

    def _granted(self, replica: Replica) -> None:
        self._waiting = None
        self._begin_at(replica)

    def _shed(self, error: PraxisError) -> None:
        self._waiting = None
        self._attempts.shed(error)
        self._attempt()

    def _begin_at(self, replica: Replica) -> None:
        self._attempts.begin(replica)
        self._lease = Lease(replica, self._plan.call.stream)
        connection = replica.pool.idle()
        if connection is not None:
            self._fresh = False
            self._send(connection)
        else:
            self._dial(replica)

    def _dial(self, replica: Replica) -> None:
        self._fresh = True
        self._phase = CONNECTING
        self._deadline = self._loop.time() + self._target.timeouts.connect
        self._waiting = Dialing(replica, self._loop, self._connected, self._unreachable)

    def _connected(self, connection: Connection) -> None:
        self._waiting = None
        self._send(connection)

    def _unreachable(self, replica: Replica, error: OSError) -> None:
        self._waiting = None
        replica.refused()
        self._attempts.unreachable(replica)
        reason = error.strerror or str(error) or type(error).__name__
        down = Overloaded(
            f"Backend `{self._target.backend.name}` is down: its replica cannot be reached ({reason}).",
            retry_after=2,
        )
        self._attempt_failed(down)

    def _send(self, connection: Connection) -> None:
        assert self._lease is not None
        target, plan, record, replica = self._target, self._plan, self._record, self._lease.replica
        self._connection = connection
        self._sends += 1
        try:
            head, body = plan.request(target, replica, record, self._sends)
        except PraxisError as error:
            self._fail(error)
            return
        self._phase = WAITING
        self._reply = self._refusal = self._events = self._plain = None
        first = target.timeouts.first_event if plan.call.stream else target.first_byte
        self._deadline = self._total if first is None else self._loop.time() + first
        record.replica = replica.url
        if not record.sent:
            record.sent = monotonic()
        connection.send(head, body, self._writes, self)

    # What the connection tells

    def on_head(self, head: ReplyHead) -> None:
        self._reply = head
        if head.status != 200:
            self._refusal = []
        elif head.streams:
            kind = ResponseStream if self._plan.path == RESPONSES else EventStream
            self._events = kind(self._names(), self._plan.call.include_usage, self._edit())
        else:
            self._plain = PlainReply(self._names(), self._edit())

    def on_whole(self, head: ReplyHead, body: bytes) -> None:
        if head.status != 200 or head.streams or self._phase is not WAITING:
            self.on_head(head)
            self.on_data(body)
            self.on_end()
            return
        self._connection = None
        self._reply = head
        self._answer(body, self._names(), self._edit())

    def _names(self) -> Rename:
        return rename(self._target.upstream, self._plan.call.model)

    def _edit(self) -> Edit | None:
        editor = self._target.editor
        return None if editor is None else editor(self._plan.path, self._plan.call)

    def on_data(self, chunk: bytes) -> None:
        phase = self._phase
        if phase is OVER or phase is DRAINING:
            return
        if phase is STREAMING:
            now = monotonic()
            self._deadline = now + self._target.timeouts.idle
            if self._events is not None:
                self._record.read(now)
        if self._events is not None:
            self._on_events(self._events, chunk)
        elif self._plain is not None:
            self._on_plain(self._plain, chunk)
        elif self._refusal is not None and sum(map(len, self._refusal)) <= MAX_ERROR:
            self._refusal.append(chunk)

    def _on_events(self, events: EventStream, chunk: bytes) -> None:
        try:
            passed = events.feed(chunk)
        except UpstreamError as error:
            self._fault(error)
            return
        if events.started and self._phase is WAITING:
            if events.error is not None and not passed:
                self._refused(self._status_of(events.error), orjson.dumps({"error": events.error}))
                return
            self._begin(_STREAM)
        self._count(events.usage)
        if events.done:
            self._complete(passed)
            if events.failed:
                self._record.outcome, self._record.error = "broken", UpstreamError.type
            if not self._told:
                self._tell()
            # The connection is worth keeping once the engine has closed the body, which follows at once.
            self._phase = DRAINING
            self._deadline = self._loop.time() + AFTER_DONE_SECONDS
            return
        if passed and self._phase is STREAMING:
            self._sink.data(passed)
        if events.error is not None:
            self._fail(self._error(self._status_of(events.error), orjson.dumps({"error": events.error})))

    def _on_plain(self, plain: PlainReply, chunk: bytes) -> None:
        passed = plain.feed(chunk)
        if passed:
            if self._phase is WAITING:
                self._begin(self._head.line)
                self._count(plain.usage)
            self._sink.data(passed)
        elif self._target.first_byte is not None:
            self._deadline = self._loop.time() + self._target.timeouts.idle

    def on_end(self) -> None:
        self._connection = None
        if self._phase is DRAINING:
            self._finish()
        elif self._phase is OVER:
            return
        elif self._refusal is not None:
            self._refused(self._head.status, b"".join(self._refusal))
        elif self._plain is None:
            self._fault(
                UpstreamError(
                    f"Backend `{self._target.backend.name}` ended its stream before the answer did."
                )
            )
        elif self._plain.passing:
            self._count(tokens(self._plain.held))
            self._complete()
            self._finish()
        else:
            self._answer(self._plain.held, self._plain.rename, self._plain.edit)

    def _answer(self, body: bytes, names: Rename, edit: Edit | None) -> None:
        """The engine's plain reply is whole."""
        if body[:24].lstrip().startswith(b'{"error"'):
            self._refused(502, body)
            return
        # The count stands at a reply's end.
        self._count(tokens(body))
        body = names(body)
        if edit is not None:
            body = edit.whole(body)
        self._begin(self._head.line, len(body))
        self._complete(body)
        self._finish()

    @property
    def _head(self) -> ReplyHead:
        assert self._reply is not None
        return self._reply

    def _count(self, usage: tuple[int, int] | None) -> None:
        if usage is not None:
            self._record.prompt_tokens, self._record.completion_tokens = usage

    def on_lost(self, reason: str) -> None:
        self._connection = None
        if self._phase is DRAINING:
            self._finish()
            return
        if self._phase is OVER:
            return
        if not self._fresh and self._reply is None:
            # The engine closed an idle connection just as it was used again: the request never arrived.
            assert self._lease is not None
            self._dial(self._lease.replica)
            return
        self._fault(UpstreamError(f"The replica of backend `{self._target.backend.name}` {reason}."))

    # Outcomes

    def _begin(self, lines: bytes, length: int | None = None) -> None:
        """The reply begins: from here on nothing is tried again."""
        record, target, plan = self._record, self._target, self._plan
        self._phase = STREAMING
        record.first_event = monotonic()
        self._deadline = record.first_event + target.timeouts.idle
        if self._lease is not None and self._lease.trial:
            # The replica answers again: the others need not wait for this reply's end.
            self._lease.succeeded()
        if self._events is not None:
            record.streams()
        lines = b"%sx-request-id: %s\r\n%s%s%s" % (
            lines,
            record.request_id.encode(),
            target.lines,
            target.backend.dialect.notes(plan.path, plan.call),
            b"" if record.ticket is None else record.ticket.lines(),
        )
        self._sink.start(200, lines, length)

    def _complete(self, last: bytes = b"") -> None:
        """The answer is whole with `last`."""
        self._record.outcome = "200"
        if self._lease is not None:
            self._lease.succeeded()
        self._sink.end(last)

    def _refused(self, status: int, body: bytes) -> None:
        """The engine answered with an error, by status or as its first event."""
        error = self._error(status, body)
        assert self._lease is not None
        if status in (429, 503):
            self._lease.replica.busy(seconds(self._retry_after()))
            self._attempt_failed(error)
        elif status >= 500:
            self._lease.failed()
            self._attempt_failed(error)
        elif status == 404 and self._target.adapter and isinstance(error, UpstreamError):
            # The engine began anew, or another gateway made room there: this replica does not hold it any more.
            self._lease.replica.unloaded(self._target.upstream)
            self._attempt_failed(unavailable(self._target))
        else:
            self._lease.succeeded()
            self._fail(error)

    def _error(self, status: int, body: bytes) -> PraxisError:
        backend = self._target.backend
        return backend.dialect.error(status, body, self._retry_after(), backend.name)

    def _retry_after(self) -> str | None:
        return self._head.get(b"retry-after").decode("latin-1") or None

    def _status_of(self, error: Any) -> int:
        """The HTTP status that an error event stands for."""
        return self._target.backend.dialect.status_of(error)

    def _fault(self, error: PraxisError) -> None:
        """The replica broke or fell silent."""
        if self._lease is not None:
            self._lease.failed()
        if self._phase is STREAMING:
            self._fail(error)
        else:
            self._attempt_failed(error)

    def _attempt_failed(self, error: PraxisError) -> None:
        # Who was sent on trial to a replica that may still be ill is owed another.
        trial = self._lease is not None and self._lease.trial
        self._drop()
        if self._attempts.failed(error, free=trial) and self._loop.time() < self._total:
            self._attempt()
        else:
            self._fail(self._attempts.error or error)

    def _fail(self, error: PraxisError) -> None:
        """The end that the client is told of: an error reply, or in mid-stream an error event and no `[DONE]`."""
        if self._phase in (OVER, DRAINING):
            return
        self._record.error = error.type
        if self._phase is not STREAMING:
            self._record.outcome = str(error.status)
            send_error(self._sink, error, self._record.request_id)
        else:
            self._record.outcome = "broken"
            if self._events is not None:
                self._sink.end(b"data: " + orjson.dumps(error.body()) + b"\n\n")
            else:
                self._sink.abort()
        self._finish()

    def _drop(self) -> None:
        """Let go of what it waits for, of the connection and of the replica. Closing is what tells an engine to stop."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    def _finish(self) -> None:
        """All is over: give everything back, and tell who watches."""
        self._phase = OVER
        self._drop()
        self._sweep.discard(self)
        if not self._told:
            self._tell()

    def _tell(self) -> None:
        """Tell who watches, once, as soon as the client has its reply: its next request may follow at once."""
        self._told = True
        record, target, events = self._record, self._target, self._events
        if events is not None and events.usage is None and record.first_event:
            # A stream that was cut, or an engine that counts none: an event is a token, or nearly.
            record.prompt_tokens, record.completion_tokens = prompt_tokens(self._plan.call), events.seen
        record.ended = monotonic()
        record.served_by, record.backend = target.model, target.backend.name
        record.attempts = self._attempts.count
        self._observer.ended(record)

    # Time

    def check(self, now: float) -> None:
        """Called by the sweep: end what has run out of time."""
        if self._phase is DRAINING and now >= self._deadline:
            self._finish()
        elif now >= self._total:
            self._timed_out("did not finish", "total")
        elif now < self._deadline or self._paused:
            return
        elif self._phase is CONNECTING:
            self._timed_out("could not be reached", "connect")
        elif self._phase is WAITING:
            self._timed_out("sent no first event", "first_event")
        elif self._phase is STREAMING:
            self._timed_out("fell silent in mid-answer", "idle")

    def _timed_out(self, what: str, which: str) -> None:
        limit = getattr(self._target.timeouts, which)
        backend = self._target.backend.name
        error = UpstreamTimeout(f"Backend `{backend}` {what} within {limit:g} s (`timeouts.{which}`).")
        again = which != "total" and not self._stalled
        self._stalled = self._stalled or which == "first_event"
        if again:
            self._fault(error)
        else:
            if self._lease is not None and which != "total":
                self._lease.failed()
            self._fail(error)


_STREAM = (
    b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
)
