"""The hot path's way in through ASGI: reads the body, watches for the client leaving, and sends what a sink hears.

It serves what the server's own protocol class (gateway/server.py) leaves to ASGI, and any other ASGI server.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gateway.proxy.sink import HIGH_WATER, MAX_BODY, Running, pairs, too_large

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class ClientGone(Exception):
    """The client left before its request was whole."""


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The request's whole body. Raises TooLarge without reading on, and ClientGone."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > MAX_BODY:
            raise too_large()
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY:
            raise too_large()
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class AsgiSink:
    """Turns what a request under way says into ASGI messages, sent one after the other as the client takes them."""

    def __init__(self) -> None:
        self._waiting: deque[Message] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._over = False
        self._running: Running | None = None

    # Sink

    def start(self, status: int, lines: bytes, length: int | None = None) -> None:
        headers = pairs(lines)
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        if status == 413:
            headers.append((b"connection", b"close"))  # Its body was not read.
        self._put({"type": "http.response.start", "status": status, "headers": headers})

    def data(self, chunk: bytes) -> None:
        self._bytes += len(chunk)
        self._put({"type": "http.response.body", "body": chunk, "more_body": True})
        if self._bytes > HIGH_WATER and self._running is not None:
            self._running.pause()

    def end(self, chunk: bytes = b"") -> None:
        self._over = True
        self._bytes += len(chunk)
        self._put({"type": "http.response.body", "body": chunk})

    def abort(self) -> None:
        """Return without the final message: the server then closes the connection, and the client sees a cut."""
        self._over = True
        self._wake.set()

    # The application's side

    async def carry(self, running: Running | None, receive: Receive, send: Send) -> None:
        """Send what comes until the reply is whole or the client is gone. Without `running` the reply is there."""
        self._running = running
        watch = asyncio.create_task(self._watch(receive))
        try:
            while not (self._over and not self._waiting):
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    message = self._waiting.popleft()
                    await send(message)
                    self._bytes -= len(message.get("body", b""))
                if not self._over and running is not None:
                    running.resume()
        finally:
            watch.cancel()
            if running is not None:
                running.cancel()

    async def _watch(self, receive: Receive) -> None:
        """Wait for the client to leave, then stop everything: nobody reads what would still come."""
        while (await receive())["type"] != "http.disconnect":
            continue
        if self._running is not None:
            self._running.cancel()
        self._over = True
        self._waiting.clear()
        self._wake.set()

    def _put(self, message: Message) -> None:
        self._waiting.append(message)
        self._wake.set()
