"""Many things to do, so many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")


async def work_off(items: Iterable[_Item], workers: int, work: Callable[[_Item], Awaitable[bool]]) -> None:
    """Do `work` on every item in turn, by so many workers, until one says False; what is under way is finished.

    Raises the OSError that `work` raises, of a full disk for example.
    """
    ended = False

    async def one(waiting: Iterator[_Item]) -> None:
        nonlocal ended
        for item in waiting:
            ended = not await work(item) or ended
            if ended:
                return

    waiting = iter(items)
    failure: Exception | None = None
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(one(waiting))
    except* OSError as errors:
        # Raised outside: what is raised in here, Python 3.11.2 wraps in a group and 3.11.7 does not.
        failure = errors.exceptions[0]
    if failure is not None:
        raise failure
