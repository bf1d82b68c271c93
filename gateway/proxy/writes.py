"""What the hot path sends, gathered for one turn of the event loop.

A write runs the kernel's whole way to the receiver's socket, and what the next request needs has left the processor's
caches by then. So all that a turn brings is worked on first, and what comes of it is written together (docs/adr/0007).
"""

from __future__ import annotations

import asyncio

LARGE = 64 * 1024
"""Bytes that are worth a write of their own, and no place in memory until the others are ready."""


class Writes:
    """Writes in the order in which it is told, once the loop has handed on all that came in."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []

    def put(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write `data`, soon. Who closes `transport` has to `flush` before."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append((transport, data))
        if len(data) > LARGE:
            self.flush()

    def flush(self) -> None:
        """Write all of it now."""
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if not transport.is_closing():
                transport.write(data)
