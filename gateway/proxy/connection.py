"""HTTP/1.1 to one replica: a connection on asyncio's protocol and httptools' parser, and a pool of idle ones.

Written here and not taken from a library because it is the gateway's bottleneck: a general client costs several
times the whole rest of a request, and httpx 0.28's pool degrades with every open stream (docs/adr/0002).
Callbacks go straight to a `Listener`; there is no task, future or timer per request.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Protocol, cast
from urllib.parse import urlsplit

import httptools

from gateway.proxy.head import Headers, Known, ReplyHead
from gateway.proxy.writes import Writes

IDLE_SECONDS = 3.5
"""How long an idle connection is kept. vLLM drops one after 5 s, and reusing it as it does so loses a request."""

MAX_HEAD = 256 * 1024

STRANGE = 16
"""Heads in a row that were remembered and never came again, before a replica's are remembered no more."""


class Listener(Protocol):
    """Who hears of a reply: `on_head`, any number of `on_data`, then `on_end`; or `on_lost` at any point."""

    def on_head(self, head: ReplyHead) -> None: ...

    def on_data(self, chunk: bytes) -> None: ...

    def on_end(self) -> None: ...

    def on_whole(self, head: ReplyHead, body: bytes) -> None:
        """In place of the three: one read brought it all."""

    def on_lost(self, reason: str) -> None: ...


class Connection(asyncio.Protocol):
    """One connection to an engine; carries one request at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._listener: Listener | None = None
        # All of a body that one read brings is handed on at once: an engine sends each event as a chunk of its own.
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append
        self._parser = httptools.HttpResponseParser(self)
        self._headers: Headers = []
        self._reads_to_eof = False
        self._head_bytes = 0
        self._in_head = True
        self._head: ReplyHead | None = None
        self._whole: ReplyHead | None = None
        self._paused = False
        self.idle_since = 0.0

    def send(self, request: bytes, body: bytes, writes: Writes, listener: Listener) -> None:
        """Write a request; `listener` hears the reply."""
        assert self._transport is not None
        self._listener = listener
        self._in_head = True
        self._head_bytes = 0
        # One write, hence one system call, where the copy is cheap; a big body is not worth copying.
        if len(body) < 64 * 1024:
            writes.put(self._transport, request + body)
        else:
            writes.put(self._transport, request)
            writes.put(self._transport, body)

    def pause(self) -> None:
        """Stop reading: the client is slower than the engine."""
        self._paused = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        self._paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """Drop the connection at once; an engine takes this as the request's cancellation."""
        self._listener = None
        if self._transport is not None:
            self._transport.abort()

    @property
    def closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is one in all but its base class.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._pool.heard = self._pool.clock()
        listener = self._listener
        if listener is None:
            self.close()
            return
        fresh = self._in_head and self._head_bytes == 0
        known = self._pool.known
        if fresh and known is not None and (body := known.body(data)) is not None:
            self._pool.strange = 0
            self._free()
            listener.on_whole(known.means, body)
            return
        if self._in_head:
            self._head_bytes += len(data)
        self._whole = None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._lost(f"sent what is no HTTP reply ({error})")
            return
        if self._pieces:
            self._hand_on()
        if fresh and self._whole is not None and self._pool.strange < STRANGE:
            self._pool.strange += 1
            self._pool.known = Known.of(data, self._whole)
        if self._in_head and self._head_bytes > MAX_HEAD:
            self._lost("sent a reply head without end")

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.forget(self)
        self._transport = None
        if self._listener is None:
            return
        if self._reads_to_eof and exc is None:
            self._finish()
        else:
            self._lost("closed the connection" if exc is None else f"broke the connection ({exc})")

    # httptools

    def on_message_begin(self) -> None:
        self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 or self._listener is None:
            return
        self._in_head = False
        self._reads_to_eof = status not in (204, 304)
        for name, _ in self._headers:
            if name == b"content-length" or name == b"transfer-encoding":
                self._reads_to_eof = False
        self._head = ReplyHead(status, self._headers)
        self._listener.on_head(self._head)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:
            return
        if self._pieces:
            self._hand_on()
        # The parser knows whether the peer keeps the connection only here; after feed_data it says no.
        reusable = self._parser.should_keep_alive() and not self._reads_to_eof
        if reusable and self._listener is not None:
            self._whole = self._head
        self._finish(reusable=reusable)

    def _hand_on(self) -> None:
        pieces = self._pieces
        chunk = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if self._listener is not None:
            self._listener.on_data(chunk)

    def _finish(self, *, reusable: bool = False) -> None:
        listener = self._listener
        if listener is None:
            return
        if reusable:
            self._free()
        else:
            self._listener = None
            if self._transport is not None:
                self._transport.close()
        listener.on_end()

    def _free(self) -> None:
        """The reply is whole: the connection can carry the next."""
        self._listener = None
        if self._paused:
            self.resume()
        if self._transport is not None and not self._transport.is_closing():
            self._pool.release(self)

    def _lost(self, reason: str) -> None:
        listener, self._listener = self._listener, None
        if self._transport is not None:
            self._transport.abort()
        if listener is not None:
            listener.on_lost(reason)


class Pool:
    """The connections to one replica: the one used last is used next, so that the others may expire."""

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        self._loop = loop
        self.clock = loop.time
        self.heard = 0.0
        """When the replica last sent a byte, to whomever: routing notices by it that an engine hangs."""
        self.known: Known[ReplyHead] | None = None
        """The head of its last whole reply: the next one mostly begins with the same."""
        self.strange = 0
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._idle: list[Connection] = []
        self._heads: dict[tuple[str, str | None], bytes] = {}
        self.authority = parts.netloc.rpartition("@")[2].encode()
        self.prefix = parts.path.rstrip("/").encode()

    def head(self, path: str, key: str | None) -> bytes:
        """The beginning of a request's head, which is the same for all requests to `path` with the backend's `key`."""
        known = self._heads.get((path, key))
        if known is None:
            lines = [
                b"POST %s%s HTTP/1.1" % (self.prefix, path.encode()),
                b"host: " + self.authority,
                b"content-type: application/json",
                b"accept-encoding: identity",
            ]
            if key:
                lines.append(b"authorization: Bearer " + key.encode("latin-1"))
            known = self._heads[path, key] = b"\r\n".join(lines) + b"\r\n"
        return known

    def idle(self) -> Connection | None:
        """A connection that is ready at once, or None."""
        oldest = self._loop.time() - IDLE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if not connection.closing and connection.idle_since > oldest:
                return connection
            connection.close()
        return None

    async def connect(self) -> Connection:
        """A new connection. Raises OSError when the replica cannot be reached."""
        _, connection = await self._loop.create_connection(
            lambda: Connection(self), self._host, self._port, ssl=self._tls
        )
        return connection

    def release(self, connection: Connection) -> None:
        connection.idle_since = self.heard
        self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)

    def expire(self) -> None:
        """Close what has been idle for too long; the sweep calls this."""
        oldest = self._loop.time() - IDLE_SECONDS
        while self._idle and self._idle[0].idle_since <= oldest:
            self._idle.pop(0).close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()
