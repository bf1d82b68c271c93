"""One client's connection: it asks, checks the answer, and asks again.

A stream that lacks events or its `[DONE]`, or a 200 that holds no answer, is an error and in no figure.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

import httptools

from bench.load.tally import Tally

_LAST_CHUNK = b"\r\n0\r\n\r\n"
_DONE = b"data: [DONE]\n\n"


class Client(asyncio.Protocol):
    """One connection that keeps asking until it is told to stop; it connects anew after a failure."""

    def __init__(self, request: bytes, tally: Tally, lost: Callable[[], None]) -> None:
        self._request = request
        self._tally = tally
        self._lost = lost
        self._parts: list[bytes] = []
        self._transport: asyncio.Transport
        self._asking = False
        self._stopping = False
        self._sent = 0.0

    def stop(self) -> None:
        """Ask no more; what is under way may end."""
        self._stopping = True
        if not self._asking:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports have another parent
        self._begin()

    def connection_lost(self, error: Exception | None) -> None:
        if self._asking and not self._stopping:
            self._tally.error("disconnected")
        self._asking = False
        self._lost()

    def _begin(self) -> None:
        self._asking = True
        self._parts.clear()
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def _whole(self) -> None:
        """The reply is the answer that was asked for."""
        self._tally.answer()
        if not self._stopping:
            self._tally.latencies.append(time.perf_counter() - self._sent)

    def _end(self, *, error: str | None, keep: bool) -> None:
        """The reply has ended: count it and ask again."""
        self._asking = False
        if error is None:
            self._whole()
        else:
            self._tally.error(error)
        if self._stopping or not keep:
            self._transport.close()
        else:
            self._begin()


class JsonClient(Client):
    """Asks for a completion in one piece."""

    def __init__(self, request: bytes, tally: Tally, lost: Callable[[], None]) -> None:
        super().__init__(request, tally, lost)
        # Called for every reply: a method of a C type costs no Python frame. The parser looks for it once.
        self.on_body = self._parts.append
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._end(error="malformed", keep=False)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        error = None
        if status != 200:
            error = f"http_{status}"
        elif b'"choices"' not in b"".join(self._parts):
            error = "no_answer"
        self._end(error=error, keep=self._parser.should_keep_alive())


class StreamClient(Client):
    """Asks for a stream of `events` events and the `[DONE]`.

    It counts the ends of events in the bytes as they come, chunk framing and all. Only where that does not
    add up, because the server cut an event in two, or where the reply is no stream, are the chunks taken apart.
    """

    def __init__(self, request: bytes, events: int, tally: Tally, lost: Callable[[], None]) -> None:
        super().__init__(request, tally, lost)
        self._events = events
        self._parser: httptools.HttpResponseParser | None = None
        self._closing = self._streaming = False
        self._seen = 0
        self._first = self._last = 0.0
        self._tail = b""

    def _begin(self) -> None:
        self._parser = None
        self._closing = self._streaming = False
        self._seen = 0
        self._tail = b""
        super()._begin()

    def data_received(self, data: bytes) -> None:
        if not self._streaming:
            data = self._without_head(data)
        if self._streaming and data:
            self._note(data)
            if self._tail == _LAST_CHUNK:
                self._finish()

    def on_body(self, data: bytes) -> None:
        """Called where the reply is no stream, so that nothing is to be learned from it but its status."""

    def on_message_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        self._end(error="no_stream" if status == 200 else f"http_{status}", keep=False)

    def _without_head(self, data: bytes) -> bytes:
        """What follows the head of the reply, or nothing while that is not whole."""
        if self._parser is not None:
            self._feed(self._parser, data)
            return b""
        if self._parts:
            data = self._parts.pop() + data
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            self._parts.append(data)
            return b""
        fields = head.lower()
        if head[9:12] != b"200" or b"\r\ntransfer-encoding: chunked" not in fields:
            self._parser = httptools.HttpResponseParser(self)
            self._feed(self._parser, data)
            return b""
        self._closing = b"\r\nconnection: close" in fields
        self._streaming = True
        self._tail = end[:2]
        return rest

    def _feed(self, parser: httptools.HttpResponseParser, data: bytes) -> None:
        try:
            parser.feed_data(data)
        except httptools.HttpParserError:
            self._end(error="malformed", keep=False)

    def _note(self, data: bytes) -> None:
        """Keep what a read brought, with the time."""
        self._parts.append(data)
        length = len(_LAST_CHUNK)
        self._tail = data[-length:] if len(data) >= length else (self._tail + data)[-length:]
        events = data.count(b"\n\n")
        if not events:
            return
        now = time.perf_counter()
        if not self._seen:
            self._first = now
        elif not self._stopping:
            self._tally.gaps.append(now - self._last)
        if not self._stopping:
            self._tally.no_gaps += events - 1
        self._last = now
        self._seen += events

    def _finish(self) -> None:
        if self._seen == self._events + 1 and _DONE in self._parts[-1]:
            error = None
        else:
            body = _without_chunks(b"".join(self._parts))
            whole = body.count(b"\n\n") == self._events + 1 and body.endswith(_DONE)
            error = None if whole else "cut"
        if error is None and not self._stopping:
            self._tally.first_events.append(self._first - self._sent)
        self._end(error=error, keep=not self._closing)


def _without_chunks(data: bytes) -> bytes:
    """The body of a chunked reply that is there whole; nothing where it is malformed."""
    parts, position = [], 0
    while (end := data.find(b"\r\n", position)) >= 0:
        try:
            size = int(data[position:end].partition(b";")[0], 16)
        except ValueError:
            return b""
        parts.append(data[end + 2 : end + 2 + size])
        position = end + 4 + size
    return b"".join(parts)
