"""The hot path's way in through ASGI: reads the body, watches for the client leaving, and sends what a sink hears."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from gateway.proxy.connection import Headers
from gateway.proxy.exchange import Exchange
from praxis.errors import PraxisError, TooLarge

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY = 25 * 1024 * 1024
"""Bytes of a request: enough for images and long documents, small enough to hold."""

HIGH_WATER = 256 * 1024
"""Bytes waiting for a slow client before its engine is made to wait."""


class ClientGone(Exception):
    """The client left before its request was whole."""


def too_large() -> TooLarge:
    return TooLarge(f"The body exceeds {MAX_BODY // 2**20} MiB; send large files through `/v1/files`.")


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


async def send_error(send: Send, error: PraxisError, request_id: str) -> None:
    """A whole reply that is `error`. The connection closes after a 413, whose body was not read."""
    body = orjson.dumps(error.body())
    headers: Headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id.encode()),
        *((name.encode(), value.encode()) for name, value in error.headers().items()),
    ]
    if isinstance(error, TooLarge):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class AsgiSink:
    """Turns what an exchange says into ASGI messages, sent one after the other as the client takes them."""

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._waiting: deque[Message] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._over = False
        self._exchange: Exchange | None = None

    # Sink

    def start(self, status: int, headers: Headers) -> None:
        named = [*headers, (b"x-request-id", self._request_id.encode())]
        self._put({"type": "http.response.start", "status": status, "headers": named})

    def data(self, chunk: bytes) -> None:
        self._bytes += len(chunk)
        self._put({"type": "http.response.body", "body": chunk, "more_body": True})
        if self._bytes > HIGH_WATER and self._exchange is not None:
            self._exchange.pause()

    def end(self) -> None:
        self._over = True
        self._put({"type": "http.response.body", "body": b""})

    def abort(self) -> None:
        """Return without the final message: the server then closes the connection, and the client sees a cut."""
        self._over = True
        self._wake.set()

    # The application's side

    async def carry(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Run `exchange` until its reply is sent or the client is gone."""
        self._exchange = exchange
        watch = asyncio.create_task(self._watch(receive))
        exchange.start()
        try:
            while not (self._over and not self._waiting):
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    message = self._waiting.popleft()
                    await send(message)
                    self._bytes -= len(message.get("body", b""))
                if not self._over:
                    exchange.resume()
        finally:
            watch.cancel()
            exchange.cancel()

    async def _watch(self, receive: Receive) -> None:
        """Wait for the client to leave, then stop everything: nobody reads what would still come."""
        while (await receive())["type"] != "http.disconnect":
            continue
        if self._exchange is not None:
            self._exchange.cancel()
        self._over = True
        self._waiting.clear()
        self._wake.set()

    def _put(self, message: Message) -> None:
        self._waiting.append(message)
        self._wake.set()
