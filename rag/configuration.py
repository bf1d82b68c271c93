"""The running configuration: models.yaml as it was last right, looked at again while the process runs."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from praxis.config import Config, load
from praxis.errors import ConfigError

logger = logging.getLogger("praxis.rag")

_LOOK_SECONDS = 1.0


class Configuration:
    """Holds `current`; a change that is wrong is logged and not taken. The embedding model changes with a restart."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._look()
        self.current: Config = load(path)

    async def run(self) -> None:
        """Watch the file until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            stamp = self._look()
            if stamp is None or stamp == self._stamp:
                continue
            self._stamp = stamp
            try:
                fresh = await asyncio.to_thread(load, self._path)
            except ConfigError as error:
                logger.error("configuration refused", extra={"reason": error.message})
                continue
            if fresh.rag != self.current.rag:
                logger.warning("`rag` in models.yaml changed: restart rag for that part to take effect")
            self.current = fresh

    def _look(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
