"""A bounded process that does one job after another, for what takes long to begin: a tokenizer, a model."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

from rag.ingest.worker import answered, child

_IDLE = 300.0
"""Seconds after which a process that nobody needs gives its memory back."""


class Standing:
    """A process at one of the works of `rag.ingest.child`. It starts with the first job, anew after one that it could not
    bear or when somebody ended it, and ends when there has been none for long; `close` it in the end."""

    def __init__(self, *work: str, wall: float, idle: float = _IDLE) -> None:
        """`work` is the work's name and what it takes; `wall` is how many seconds a job may take."""
        self._work = work
        self._wall = wall
        self._idle = idle
        self._turn = asyncio.Lock()
        self._running = AsyncExitStack()
        self._child: asyncio.subprocess.Process | None = None
        self._leaving: asyncio.Task[None] | None = None

    async def do(self, job: object) -> dict[str, Any] | None:
        """What the process answers; None where it ended or took too long. Jobs are done in the order in which they come."""
        async with self._turn:
            self._stay()
            try:
                answer = await self._asked(job)
            except BaseException:
                # A process that was left before it answered would give this answer to the next one.
                await self._end()
                raise
            if answer is None:
                await self._end()
            else:
                self._leaving = asyncio.create_task(self._leave())
        return answer

    async def close(self) -> None:
        """End the process; the next job starts another."""
        async with self._turn:
            self._stay()
            await self._end()

    async def _asked(self, job: object) -> dict[str, Any] | None:
        if self._child is not None and self._child.returncode is not None:
            await self._end()  # somebody ended it while it was idle
        running = self._child or await self._start()
        assert running.stdin is not None
        try:
            running.stdin.write(await asyncio.to_thread(_line, job))
            async with asyncio.timeout(self._wall):
                await running.stdin.drain()
                return await answered(running)
        except (TimeoutError, ConnectionError):
            return None

    async def _start(self) -> asyncio.subprocess.Process:
        begun = child(*self._work, stdin=asyncio.subprocess.PIPE)
        self._child = await self._running.enter_async_context(begun)
        return self._child

    async def _leave(self) -> None:
        await asyncio.sleep(self._idle)
        async with self._turn:
            await self._end()

    def _stay(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    async def _end(self) -> None:
        self._child = None
        await self._running.aclose()


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
