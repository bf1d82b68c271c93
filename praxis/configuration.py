"""The running configuration: swapped whole when models.yaml changes, kept whole when the new one is wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from praxis.config import Config, load
from praxis.errors import ConfigError

logger = logging.getLogger("praxis.configuration")

POLL_SECONDS = 0.5


class Configuration:
    """Holds the `current` configuration of the file at `path`, and why the last change was `refused`, if it was.

    `accept` raises ConfigError for what a process cannot live with though the file is in order.
    """

    def __init__(self, path: Path, accept: Callable[[Config], None] = lambda _: None) -> None:
        self._path = path
        self._accept = accept
        self._stamp = self._look()
        self._changed: list[Callable[[], Awaitable[None]]] = []
        self._reloading = asyncio.Lock()
        self.current = self._load()
        self.refused: str | None = None
        self.generation = 1

    def on_change(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Have `callback` called after each swap."""
        self._changed.append(callback)

    async def reload(self) -> None:
        """Read the file again and swap it in. Raises ConfigError and keeps what runs when it is wrong."""
        async with self._reloading:
            try:
                fresh = await asyncio.to_thread(self._load)
            except ConfigError as error:
                self.refused = error.message
                logger.error("configuration refused", extra={"reason": error.message})
                raise
            self.current = fresh
            self.refused = None
            self.generation += 1
            for callback in self._changed:
                await callback()
            logger.info("configuration swapped", extra={"generation": self.generation})

    async def run(self) -> None:
        """Watch the file until cancelled. Looking twice a second also sees editors that replace the file."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            stamp = self._look()
            if stamp is not None and stamp != self._stamp:
                self._stamp = stamp
                try:
                    await self.reload()
                except ConfigError:
                    continue

    def _look(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _load(self) -> Config:
        config = load(self._path)
        self._accept(config)
        return config
