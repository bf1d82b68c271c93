"""`praxis gateway --workers N`: N gateway processes that take their connections from one listening socket.

The parent listens, starts the workers and keeps them: one that dies is started again, later and later while it keeps
dying. SIGTERM and SIGINT let every worker drain, SIGHUP has every worker read its configuration again. The socket is
shared rather than one for each (SO_REUSEPORT): connections that a dead worker has not taken are taken by the others,
and a busy worker takes fewer (docs/adr/0006).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gateway.place import Place

logger = logging.getLogger("praxis.gateway.workers")

RESTART_SECONDS = 0.5
RESTART_MOST = 30.0
"""How long a dead worker is waited with: at first, and at most, for each death in quick succession doubles it."""

SETTLED_SECONDS = 10.0
"""A worker that lived this long has not died in quick succession."""

STOP_SECONDS = 8.0
"""What a worker may take beyond its drain before it is killed: less than whoever stops the parent waits for that."""

_FAILURES = (1, 2)
"""Exit codes of a worker that could not begin and said why."""


class Workers:
    """Keeps `count` processes of `command`, which each get the socket and their place as further arguments."""

    def __init__(self, command: Sequence[str], count: int, listener: socket.socket, drain: float) -> None:
        self._command = command
        self._count = count
        self._listener = listener
        self._drain = drain
        self._folder = Path(tempfile.mkdtemp(prefix="praxis-"))
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._stop = asyncio.Event()
        self._served = False
        self._failed: int | None = None

    async def run(self) -> int:
        """Keep the workers until SIGTERM, SIGINT, or a start that fails; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        keepers = [loop.create_task(self._keep(index)) for index in range(self._count)]
        try:
            await self._stop.wait()
            self._tell(signal.SIGTERM)
            await asyncio.wait(keepers, timeout=self._drain + STOP_SECONDS)
            self._tell(signal.SIGKILL)
            await asyncio.gather(*keepers)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        return self._failed or 0

    async def _keep(self, index: int) -> None:
        loop = asyncio.get_running_loop()
        wait = RESTART_SECONDS
        while not self._stop.is_set():
            began = loop.time()
            code = await self._live(index)
            if self._stop.is_set():
                return
            if code in _FAILURES and not self._served:
                self._failed = code
                self._stop.set()
                return
            wait = RESTART_SECONDS if loop.time() - began > SETTLED_SECONDS else min(wait * 2, RESTART_MOST)
            logger.error("worker died", extra={"worker": index, "code": code, "restart_after": wait})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), wait)

    async def _live(self, index: int) -> int:
        """One life of a worker, to its exit code (the signal's negative number when one killed it)."""
        place = Place(index, self._count, self._folder)
        process = await asyncio.create_subprocess_exec(
            *self._command,
            "--worker",
            str(place),
            "--listener",
            str(self._listener.fileno()),
            pass_fds=[self._listener.fileno()],
            stdin=asyncio.subprocess.DEVNULL,
        )
        self._processes[index] = process
        if self._stop.is_set():  # it came while the process was being made
            self._tell(signal.SIGTERM)
        try:
            return await process.wait()
        finally:
            del self._processes[index]
            self._served = self._served or place.door(index).exists()
            place.door(index).unlink(missing_ok=True)

    def _reload(self) -> None:
        """One that has not begun to serve reads the configuration anyway, and would die of the signal."""
        for index, process in self._processes.items():
            if Place(index, self._count, self._folder).door(index).exists():
                process.send_signal(signal.SIGHUP)

    def _tell(self, number: signal.Signals) -> None:
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)


def command(config: Path, host: str, port: int, *, asgi: bool) -> list[str]:
    """The command line of a worker, as far as all have it in common."""
    process = [sys.executable, "-m", "gateway", "--config", str(config), "--host", host, "--port", str(port)]
    return [*process, "--asgi"] if asgi else process
