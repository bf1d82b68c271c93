"""The hot path's way in below ASGI: uvicorn's own HTTP/1.1 protocol, which keeps the hot requests to itself.

A scope, a task, an event and two coroutines per request cost more than all that the gateway does with it
(docs/adr/0007). So where uvicorn would make a `RequestResponseCycle`, `HotProtocol` makes a `Cycle` for the hot
requests, which is the sink of the reply as well. Reading, parsing, pipelining and everything else stay uvicorn's;
what is not plainly a hot request goes on to ASGI, where the same paths are served too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Set
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.api.inference import PATHS, Inference
from gateway.proxy.head import Head, Known
from gateway.proxy.sink import MAX_BODY, Running, too_large
from praxis.errors import InternalError, InvalidRequest, PraxisError

logger = logging.getLogger("praxis.gateway.server")

MAX_HEAD = 64 * 1024
"""Bytes of a request's head, give or take one read."""

READ_SECONDS = 60.0
"""How long a client may be silent in the middle of its request."""

IDLE_SECONDS = 75.0
"""How long a connection without a request is kept; longer than a usual proxy in front keeps its own."""

TRIES = 4
"""Heads of a connection that are remembered before giving up: some clients never send the same one twice."""

LINGER_SECONDS = 2.0
"""How long what a client still sends after a refusal is read and dropped: closing at once would destroy the reply."""

SWEEP_SECONDS = 1.0

_HOT = {path.encode(): path for path in PATHS}

_FOR_ASGI = frozenset({b"expect", b"origin", b"upgrade"})
"""Headers that ask for more than a reply: a go-ahead, a browser's cross-origin answer, another protocol."""


class _Unheard:
    """In place of the event that uvicorn sets for its own cycles: nobody waits here."""

    def set(self) -> None:
        pass


_UNHEARD = _Unheard()


class Cycle:
    """One hot request and its reply. The first five attributes are those that uvicorn asks of a cycle."""

    __slots__ = (
        "_chunked",
        "_lines",
        "_protocol",
        "body",
        "disconnected",
        "head",
        "keep_alive",
        "message_event",
        "more_body",
        "queued",
        "response_complete",
        "running",
        "size",
    )

    def __init__(self, protocol: HotProtocol, head: Head) -> None:
        self.response_complete = False
        self.disconnected = False
        self.message_event = _UNHEARD
        self.more_body = True
        self.keep_alive = head.keep_alive
        self.head = head
        self.body: list[bytes] = []
        self.size = 0
        self.queued = False
        self.running: Running | None = None
        self._protocol = protocol
        self._lines = b""
        self._chunked = True

    def whole(self) -> bytes:
        """The body, now that all of it is there; it is not kept."""
        body = b"".join(self.body)
        self.body.clear()
        return body

    # Sink

    def start(self, status: int, lines: bytes, length: int | None = None) -> None:
        """Keep the head until the first bytes of the reply, so that both go out in one write."""
        for name, value in self._protocol.server_state.default_headers:
            lines += b"%s: %s\r\n" % (name, value)
        if not self.keep_alive:
            lines += b"connection: close\r\n"
        if length is None:
            self._lines = b"%s%stransfer-encoding: chunked\r\n\r\n" % (STATUS_LINE[status], lines)
        else:
            self._chunked = False
            self._lines = b"%s%scontent-length: %d\r\n\r\n" % (STATUS_LINE[status], lines, length)

    def data(self, chunk: bytes) -> None:
        if self._chunked:
            chunk = b"%s%x\r\n%s\r\n" % (self._lines, len(chunk), chunk)
        elif self._lines:
            chunk = self._lines + chunk
        self._lines = b""
        self._protocol.writes.put(self._protocol.transport, chunk)

    def end(self, chunk: bytes = b"") -> None:
        if not self._chunked:
            chunk = self._lines + chunk
        elif chunk:
            chunk = b"%s%x\r\n%s\r\n0\r\n\r\n" % (self._lines, len(chunk), chunk)
        else:
            chunk = self._lines + b"0\r\n\r\n"
        self._lines = b""
        self._protocol.writes.put(self._protocol.transport, chunk)
        self.response_complete = True
        self._protocol.answered(self)

    def abort(self) -> None:
        self.response_complete = True
        self._protocol.close()


class HotProtocol(HttpToolsProtocol):
    """One client's connection."""

    def __init__(self, inference: Inference, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._inference = inference
        self.writes = inference.writes
        self._known: Known[Head] | None = None
        self._tries = TRIES
        self._reading: Cycle | None = None
        self._answering: Cycle | None = None
        self._since = self.loop.time()
        self._in_head = True
        self._head_bytes = 0
        self._refused = False

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        fresh = (
            self._in_head and self._head_bytes == 0 and (self.cycle is None or self.cycle.response_complete)
        )
        if fresh and self._known is not None and (body := self._known.body(data)) is not None:
            cycle = Cycle(self, self._known.means)
            cycle.more_body = False
            self._reading = cycle
            self.cycle = cycle  # type: ignore[assignment]  # it stands in for uvicorn's own
            self._begin(cycle, body)
            return
        self._since = self.loop.time()
        if self._in_head:
            self._head_bytes += len(data)
        # As in uvicorn, but for its timer of idle connections, which `expire` stands in for.
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
        except httptools.HttpParserError:
            self.send_400_response("This is no valid HTTP request.")
        if fresh and self._tries and (parsed := self._reading) is not None and not parsed.more_body:
            self._tries -= 1
            self._known = Known.of(data, parsed.head)
        if self._in_head and self._head_bytes > MAX_HEAD:
            self._refuse(InvalidRequest(f"The request's head exceeds {MAX_HEAD} bytes; send fewer headers."))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._answering is not None and self._answering.running is not None:
            self._answering.running.cancel()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._answering is not None and self._answering.running is not None:
            self._answering.running.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._answering is not None and self._answering.running is not None:
            self._answering.running.resume()

    # httptools

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        path = _HOT.get(self.url.partition(b"?")[0])
        if path is None or self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            self._to_asgi()
            return
        length = b"0"
        for name, value in self.headers:
            if name in _FOR_ASGI:
                self._to_asgi()
                return
            if name == b"content-length":
                length = value
        before = self.cycle
        cycle = Cycle(self, Head(path, self.headers, self.parser.should_keep_alive()))
        self._reading = cycle
        self.cycle = cycle  # type: ignore[assignment]  # it stands in for uvicorn's own
        if before is not None and not before.response_complete:
            # Pipelined: it begins when the reply before it is out.
            cycle.queued = True
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
        if int(length) > MAX_BODY:
            self._refuse(too_large())

    def on_body(self, body: bytes) -> None:
        cycle = self._reading
        if cycle is None:
            super().on_body(body)
            return
        cycle.size += len(body)
        if cycle.size <= MAX_BODY:
            cycle.body.append(body)
        else:
            cycle.body.clear()
            self._refuse(too_large())

    def on_message_complete(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        cycle = self._reading
        if cycle is None:
            super().on_message_complete()
            return
        cycle.more_body = False
        if not cycle.queued:
            self._begin(cycle, cycle.whole())

    def on_response_complete(self) -> None:
        """A reply is out: the next request may come, or begins where it has come already."""
        self.server_state.total_requests += 1
        self._since = self.loop.time()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if not self.pipeline:
            return
        first, app = self.pipeline.pop()
        following: object = first
        if not isinstance(following, Cycle):
            self._start_asgi_task(first, app)
            return
        following.queued = False
        if not following.more_body:
            # Not from within the reply before it: a long pipeline would go as deep as it is long.
            self.loop.call_soon(self._begin, following, following.whole())

    def send_400_response(self, msg: str) -> None:
        """What cannot be parsed is refused in the house's own shape."""
        self._refuse(InvalidRequest(f"{msg} Send HTTP/1.1 as RFC 9112 has it."))

    # What its owners call

    def close(self) -> None:
        """Close it, when all that its client is to get is written."""
        self.writes.flush()
        self.transport.close()

    def shutdown(self) -> None:
        self.writes.flush()
        super().shutdown()

    # Inside

    def _to_asgi(self) -> None:
        """Go on as if uvicorn had read the head itself."""
        self._reading = None
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        self.headers += headers
        self.expect_100_continue = (b"expect", b"100-continue") in headers
        super().on_headers_complete()

    def _begin(self, cycle: Cycle, body: bytes) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._answering = cycle
        try:
            running = self._inference.begin(cycle.head, body, cycle)
        except Exception:
            # The edge of a request: the parser that calls this would take a defect of ours for one of the client's.
            logger.exception("uncaught", extra={"path": cycle.head.path})
            self._answering = None
            self._refuse(InternalError("The gateway failed; its log has the reason."))
            return
        if running is not None and not cycle.response_complete:
            cycle.running = running
            if self.flow.write_paused:
                running.pause()

    def answered(self, cycle: Cycle) -> None:
        """The reply of `cycle` is written."""
        self._answering = None
        # Else the two would hold each other, and only the collector could free them.
        cycle.running = None
        if not cycle.keep_alive:
            if self._refused and self.transport.can_write_eof():
                self.writes.flush()
                self.transport.write_eof()
            else:
                self.close()
        self.on_response_complete()

    def _refuse(self, error: PraxisError) -> None:
        """Answer what does not deserve a reading to its end, read on for a moment and close."""
        if self._refused:
            return
        self._refused = True
        cycle = self._reading
        if self._answering is not None or (cycle is None and self._asgi_is_answering()) or self.pipeline:
            # A reply before it is under way, and cannot be finished without reading on.
            self.close()
            return
        head = cycle.head if cycle is not None else Head("", [])
        refusal = Cycle(self, Head(head.path, []))
        self.cycle = refusal  # type: ignore[assignment]
        self._inference.refuse(error, self._inference.record(head), refusal)

    def _asgi_is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    # What `expire` asks

    def check(self, now: float) -> None:
        """Close a connection that has had its time: without a request, refused, or silent in the middle of one."""
        cycle = self.cycle
        reading = self._head_bytes > 0 or (cycle is not None and cycle.more_body)
        if not reading and cycle is not None and not cycle.response_complete:
            return
        limit = LINGER_SECONDS if self._refused else READ_SECONDS if reading else IDLE_SECONDS
        if now - self._since > limit:
            self.transport.close()


async def expire(connections: Set[object]) -> None:
    """Look at all `connections` once a second, until cancelled: one timer in place of one for each request."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        for connection in list(connections):
            if isinstance(connection, HotProtocol):
                connection.check(loop.time())
