"""One side's answer while it comes and after.

The answer is read on a thread of its own, so that drawing it, drawing it again, or a side that stalls never holds up
anything else. That thread alone writes a `Reply`; pages read it at any time.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Event, Thread

from ui.client import Citation, Gateway, GatewayError, Question, Unverified, Usage
from ui.passage import Passage, read_passage

STOP_CHECK = 0.1  # seconds
# An answer that no page has drawn for this long belongs to a closed browser: the engine need not finish it.
UNWATCHED = 120.0

_CLOSED = re.compile(r"^\s*(?:<think>)?(.*?)</think>\s*", re.DOTALL)
_OPEN = "<think>"


class Phase(StrEnum):
    """Where an answer is. The last three are final."""

    WAITING = "waiting"
    THINKING = "thinking"
    ANSWERING = "answering"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        return self in (Phase.DONE, Phase.STOPPED, Phase.FAILED)


def split_thinking(content: str) -> tuple[str, str]:
    """Separates `<think>…</think>` at the start of a reply from the answer, also while it is incomplete.

    Some chat templates open the block themselves, so that the reply has only its end.
    """
    if closed := _CLOSED.match(content):
        return closed[1].strip(), content[closed.end() :]
    start = content.lstrip()
    if start.startswith(_OPEN):
        return start.removeprefix(_OPEN).strip(), ""
    return ("", "") if start and _OPEN.startswith(start) else ("", content)


@dataclass
class Reply:
    """The answer to one question; a `grounded` one has to show its sources."""

    grounded: bool = False
    phase: Phase = Phase.WAITING
    content: str = ""
    reasoning: str = ""
    citations: tuple[Citation, ...] | None = None
    unverified: tuple[Unverified, ...] = ()
    uncited: tuple[Citation, ...] = ()  # found for an answer that cites none of it
    passages: dict[int, Passage] = field(default_factory=dict)
    usage: Usage | None = None
    finish: str | None = None
    error: GatewayError | None = None
    started: float = field(default_factory=time.monotonic)
    first: float | None = None
    ended: float | None = None

    def __post_init__(self) -> None:
        self._stop = Event()
        self._watched = time.monotonic()

    @classmethod
    def refused(cls, grounded: bool, kind: str) -> Reply:
        """An answer that was never asked for, and why."""
        reply = cls(grounded)
        reply._end(Phase.FAILED, GatewayError(kind))
        return reply

    @property
    def running(self) -> bool:
        return not self.phase.final

    @property
    def whole(self) -> bool:
        """Whether it came to its end, be it that of its length."""
        return self.phase is Phase.DONE

    @property
    def thinking(self) -> str:
        return self.reasoning or split_thinking(self.content)[0]

    @property
    def text(self) -> str:
        """The answer itself, without the thinking."""
        return split_thinking(self.content)[1]

    @property
    def elapsed(self) -> float:
        """Seconds from the question until now, or until the end."""
        return (self.ended or time.monotonic()) - self.started

    @property
    def to_first(self) -> float | None:
        """Seconds from the question to the first token, thinking included."""
        return None if self.first is None else self.first - self.started

    @property
    def rate(self) -> float | None:
        """Tokens per second after the first one."""
        if self.usage is None or self.first is None or self.usage.completion < 2:
            return None
        return (self.usage.completion - 1) / max((self.ended or time.monotonic()) - self.first, 1e-3)

    def start(self, gateway: Gateway, question: Question) -> None:
        """Ask, and read the answer in the background."""
        Thread(target=lambda: asyncio.run(self.follow(gateway, question)), daemon=True).start()

    def stop(self) -> None:
        """Give up the rest of the answer; what came is kept."""
        self._stop.set()

    def watch(self) -> None:
        """Say that somebody is looking."""
        self._watched = time.monotonic()

    async def follow(self, gateway: Gateway, question: Question) -> None:
        """Ask, and read the answer to its end."""
        if self._stop.is_set():
            self._end(Phase.STOPPED)
            return
        self.started = self._watched = time.monotonic()
        reading = asyncio.create_task(self._read(gateway, question))
        while not reading.done():
            await asyncio.wait([reading], timeout=STOP_CHECK)
            if self._stop.is_set() or time.monotonic() - self._watched > UNWATCHED:
                reading.cancel()
        try:
            await reading
        except asyncio.CancelledError:
            self._end(Phase.STOPPED)
        except GatewayError as error:
            self._end(Phase.FAILED, error)
        except Exception:
            # The edge of this thread: nobody else would hear of the failure, and the page would wait for ever.
            self._end(Phase.FAILED, GatewayError(GatewayError.BROKEN))
            raise
        else:
            self._end(Phase.DONE)

    async def _read(self, gateway: Gateway, question: Question) -> None:
        async for delta in gateway.chat(question):
            if self.first is None and (delta.text or delta.thinking):
                self.first = time.monotonic()
            self.reasoning += delta.thinking
            self.content += delta.text
            self.unverified += delta.unverified
            self.uncited += delta.uncited
            self.citations = self.citations if delta.citations is None else delta.citations
            self.usage = delta.usage or self.usage
            self.finish = delta.finish or self.finish
            if self.text:
                self.phase = Phase.ANSWERING
            elif self.thinking:
                self.phase = Phase.THINKING
        self.ended = time.monotonic()
        self.passages = await _passages(gateway, self.citations or ())

    def _end(self, phase: Phase, error: GatewayError | None = None) -> None:
        self.ended = self.ended or time.monotonic()
        self.error = error
        self.phase = phase


async def _passages(gateway: Gateway, citations: Sequence[Citation]) -> dict[int, Passage]:
    """The cited passages by marker. One that cannot be read is left out: its quote is known anyway."""

    async def read(citation: Citation) -> Passage | None:
        if citation.url is None:
            return None
        try:
            return read_passage(await gateway.passage(citation.url))
        except GatewayError:
            return None

    found = await asyncio.gather(*(read(citation) for citation in citations))
    return {citation.marker: passage for citation, passage in zip(citations, found, strict=True) if passage}
