"""Work beside requests, for as long as the process serves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

logger = logging.getLogger("praxis.background")

AGAIN_SECONDS = 1.0
"""How long work that failed waits before it begins again."""


@asynccontextmanager
async def running(**works: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Do these works, by name, until each returns or the context is left; one that fails is logged and begins again."""
    tasks = [asyncio.create_task(_kept(name, work)) for name, work in works.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _kept(name: str, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
            return
        except Exception:  # the edge of a task: one bad round must not silently end the rest of them
            logger.exception(f"{name} failed and begins again")
            await asyncio.sleep(AGAIN_SECONDS)
