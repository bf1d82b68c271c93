"""Work on many things, a few at a time, on a thread of its own: pages come and go meanwhile."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from threading import Event, Thread
from typing import Generic, TypeVar

from ui.client import Gateway, Question
from ui.reply import UNWATCHED, Reply

AT_ONCE = 4  # things
TRIES = 4  # of an answer that is refused for load
PATIENCE = 60.0  # seconds, the longest wait between two of them
LOOK = 1.0  # seconds between two looks whether the browser is still there

_BUSY = ("rate_limit_error", "overloaded_error")

T = TypeVar("T")


class Background(ABC, Generic[T]):
    """Does each of some things, until the last one, an order to stop, or until no browser looks at it any longer."""

    def __init__(self) -> None:
        self.running = False
        self._stopped = Event()
        self._watchers: tuple[Callable[[], bool], ...] = ()
        self._began, self._before = 0.0, 0

    @property
    @abstractmethod
    def total(self) -> int:
        """How many things there are."""

    @property
    @abstractmethod
    def done(self) -> int:
        """How many of them have come to an end, be it a failure."""

    @abstractmethod
    def replies(self) -> Iterable[Reply]:
        """Every answer, those under way among them. It is called from other threads while `do` works."""

    @abstractmethod
    async def do(self, gateway: Gateway, thing: T) -> None:
        """Do one thing to its end."""

    @property
    def seconds_left(self) -> float | None:
        """How long the rest will take at the speed so far; None before the first thing is done."""
        done = self.done - self._before
        if done <= 0:
            return None
        return (time.monotonic() - self._began) / done * (self.total - self.done)

    def stop(self) -> None:
        """Begin nothing more, and keep what came."""
        self._stopped.set()
        for reply in self.replies():
            reply.stop()

    def join(self, watched: Callable[[], bool]) -> None:
        """Go on for as long as `watched` says that somebody wants to know, too."""
        self._watchers = tuple(dict.fromkeys((*self._watchers, watched)))

    def leave(self, watched: Callable[[], bool]) -> bool:
        """Somebody does not want to know any longer; whether it stops, because nobody else looks."""
        self._watchers = tuple(each for each in self._watchers if each != watched)
        if any(looks() for looks in self._watchers):
            return False
        self.stop()
        return True

    def _begin(self, gateway: Gateway, things: Sequence[T], watched: Callable[[], bool]) -> None:
        """Work in the background; `watched` says whether somebody still wants to know."""
        self.join(watched)
        self._stopped.clear()
        self._began, self._before, self.running = time.monotonic(), self.done, True
        Thread(target=lambda: asyncio.run(self._work(gateway, things, watched)), daemon=True).start()

    async def _work(self, gateway: Gateway, things: Sequence[T], watched: Callable[[], bool]) -> None:
        waiting = iter(things)

        async def work() -> None:
            for thing in waiting:
                if self._stopped.is_set():
                    return
                await self.do(gateway, thing)

        watching = asyncio.create_task(self._watch())
        try:
            await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        finally:
            watching.cancel()
            self.running = False

    async def _watch(self) -> None:
        """Give up where every browser has gone; one that was away for a moment is back in time."""
        last = time.monotonic()
        while time.monotonic() - last < UNWATCHED:
            if any(looks() for looks in self._watchers):
                last = time.monotonic()
                for reply in self.replies():
                    reply.watch()
            await asyncio.sleep(LOOK)
        self.stop()

    async def _answer(
        self, gateway: Gateway, question: Question, reply: Reply, put: Callable[[Reply], None]
    ) -> None:
        """Read `reply` to its end; where a server is too busy for it, another one is `put` in its place when that says so."""
        for attempt in range(1, TRIES + 1):
            put(reply)
            if self._stopped.is_set():
                reply.stop()  # it is newer than the order
            await reply.follow(gateway, question)
            error = reply.error
            if error is None or error.kind not in _BUSY or attempt == TRIES:
                return
            reply = Reply(reply.grounded)
            put(reply)
            await self._wait(error.retry_after or 2.0**attempt)

    async def _wait(self, seconds: float) -> None:
        until = time.monotonic() + min(seconds, PATIENCE)
        while time.monotonic() < until and not self._stopped.is_set():  # noqa: ASYNC110 (pages stop it from their threads)
            await asyncio.sleep(0.1)
