"""The clock of the hot path: one timer for all requests in place of one for each, and what knows which are under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

SWEEP_SECONDS = 0.1


class Timed(Protocol):
    """What the sweep looks after."""

    def check(self, now: float) -> None: ...

    def stop(self) -> None: ...


class Sweep:
    """Looks at all requests under way every `SWEEP_SECONDS` while there are any."""

    def __init__(self, loop: asyncio.AbstractEventLoop, each_sweep: Callable[[], None]) -> None:
        self.loop = loop
        self._each_sweep = each_sweep
        self._active: set[Timed] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._active)

    def add(self, request: Timed) -> None:
        self._active.add(request)
        if self._timer is None:
            self._timer = self.loop.call_later(SWEEP_SECONDS, self._tick)

    def discard(self, request: Timed) -> None:
        self._active.discard(request)

    def stop(self) -> None:
        """End every request with an error that the client can act on."""
        for request in list(self._active):
            request.stop()

    def _tick(self) -> None:
        now = self.loop.time()
        for request in list(self._active):
            request.check(now)
        self._each_sweep()
        self._timer = self.loop.call_later(SWEEP_SECONDS, self._tick) if self._active else None
