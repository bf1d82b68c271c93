"""Where a reply goes, whichever way its request came in."""

from __future__ import annotations

from typing import Protocol

import orjson

from gateway.proxy.head import Headers
from praxis.errors import Overloaded, PraxisError, TooLarge

MAX_BODY = 25 * 1024 * 1024
"""Bytes of a request: enough for images and long documents, small enough to hold."""

HIGH_WATER = 256 * 1024
"""Bytes waiting for a slow client before its engine is made to wait."""


class Sink(Protocol):
    """`start`, any `data`, then `end`; or `abort`, when the reply can no longer end honestly."""

    def start(self, status: int, lines: bytes, length: int | None = None) -> None:
        """The reply begins. `lines` are its headers as they go out, each with its line's end; `length` is that of the
        whole body in bytes, where it is known."""

    def data(self, chunk: bytes) -> None: ...

    def end(self, chunk: bytes = b"") -> None:
        """The reply is complete with `chunk`."""

    def abort(self) -> None:
        """Break the connection, so that the client sees a cut."""


class Running(Protocol):
    """A request under way, as the one who holds the client's connection sees it."""

    def cancel(self) -> None:
        """The client is gone."""

    def pause(self) -> None:
        """The client takes nothing more for now."""

    def resume(self) -> None: ...


def send_error(sink: Sink, error: PraxisError, request_id: str) -> None:
    """A whole reply that is `error`."""
    body = orjson.dumps(error.body())
    more = "".join(f"{name}: {value}\r\n" for name, value in error.headers().items())
    lines = f"content-type: application/json\r\nx-request-id: {request_id}\r\n{more}"
    sink.start(error.status, lines.encode("latin-1"), len(body))
    sink.end(body)


def pairs(lines: bytes) -> Headers:
    """The headers of a reply's `lines`."""
    return [(name, value) for name, _, value in (each.partition(b": ") for each in lines.splitlines())]


def too_large() -> TooLarge:
    return TooLarge(f"The body exceeds {MAX_BODY // 2**20} MiB; send large files through `/v1/files`.")


def shutting_down() -> Overloaded:
    """The answer to whoever asks, or still waits, while the gateway ends."""
    return Overloaded("The gateway is shutting down; ask again.", retry_after=1)
