"""How an engine's answer goes wrong: faults by name, and the script that says which answer has which."""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Literal

Headers = tuple[tuple[str, str], ...]
Edit = Callable[[list[bytes]], list[bytes]]
REFUSAL = "The fake engine was told to refuse."


class Gate:
    """What answers wait at until the test lets them through, in place of a time that a busy machine may outlast.

    Of each answer `passing` parts pass: 0 are none, 1 is the head, 2 are the head and the first event.
    """

    def __init__(self, passing: float = 0) -> None:
        self.passing = passing

    def release(self) -> None:
        """Let everything pass from here on."""
        self.passing = inf

    async def passed(self, part: int) -> None:
        """Wait until part number `part`, counted from 0, may pass."""
        while part >= self.passing:  # noqa: ASYNC110 - the test opens it from another thread
            await asyncio.sleep(0.005)


@dataclass(frozen=True, slots=True)
class Fault:
    """How one answer leaves the right way. Times are seconds; the default is an answer without fault."""

    status: int | None = None
    message: str = REFUSAL
    headers: Headers = ()
    wait: float = 0.0
    "silence before the status line"
    pause: float = 0.0
    "silence between the head and the first byte of the body"
    gap: float = 0.0
    "silence between two events"
    gate: Gate | None = None
    "where the head and each event wait to be let through"
    step: int | None = None
    "bytes per write; None writes whole events"
    edit: Edit | None = None
    "what becomes of the body's parts (events of a stream, one part else); Content-Length keeps the right one's"
    end: Literal["finish", "close", "reset", "stall"] = "finish"
    head: bool = True
    "False: `end` comes before the first byte"


def status(code: int, message: str = REFUSAL, *, retry_after: float | None = None) -> Fault:
    """An answer of this status in the dialect's own error shape."""
    return Fault(
        status=code,
        message=message,
        headers=() if retry_after is None else (("retry-after", f"{retry_after:g}"),),
    )


def reset() -> Fault:
    """The request is read, then the socket is reset."""
    return Fault(head=False, end="reset")


def hang_up() -> Fault:
    """The request is read, then the connection is closed without a byte."""
    return Fault(head=False, end="close")


def silent() -> Fault:
    """The request is read and never answered."""
    return Fault(head=False, end="stall")


def slow(*, head: float = 0.0, first: float = 0.0, gap: float = 0.0) -> Fault:
    """Silence of so many seconds before the head, the first event and each later event."""
    return Fault(wait=head, pause=first, gap=gap)


def held(gate: Gate) -> Fault:
    """The head and each event come when `gate` lets them through."""
    return Fault(gate=gate)


def bytewise(step: int = 1) -> Fault:
    """The body comes `step` bytes per write, so that characters and events are split."""
    return Fault(step=step)


def cut(after: int = 2, *, how: Literal["close", "reset", "stall"] = "close") -> Fault:
    """A stream that breaks off after so many events: closed, reset, or silent for ever."""
    return Fault(edit=lambda parts: parts[:after], end=how)


def short_body(keep: int = 40) -> Fault:
    """A JSON body that breaks off after `keep` bytes of those that Content-Length promised."""
    return Fault(edit=lambda parts: [b"".join(parts)[:keep]], end="close")


def without_done() -> Fault:
    """A stream that ends properly in HTTP but never says `[DONE]`."""
    return Fault(edit=lambda parts: [part for part in parts if part != DONE])


def inserted(event: bytes, at: int) -> Fault:
    """A stream with these bytes put before event number `at`."""
    return Fault(edit=lambda parts: [*parts[:at], event, *parts[at:]])


def error_event(at: int = 0, message: str = "The engine broke.", *, done: bool = True) -> Fault:
    """A 200 whose event number `at` is an error, as both engines report what goes wrong after the head."""
    event = sse({"error": {"message": message, "type": "InternalServerError", "param": None, "code": 500}})
    return Fault(edit=lambda parts: [*parts[:at], event, *([DONE] if done else [])])


def sse(event: object) -> bytes:
    """One server-sent event, serialised as engines do: compact, UTF-8, not escaped."""
    return b"data: " + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


class Script:
    """Which of the coming answers go wrong, in order of arrival; replicas may share one. Only inference requests use it up."""

    def __init__(self) -> None:
        self._once: deque[Fault] = deque()
        self._always: Fault | None = None

    def next(self, *faults: Fault) -> None:
        """The next answers, one each."""
        self._once.extend(faults)

    def always(self, fault: Fault) -> None:
        """Every answer that `next` does not speak for."""
        self._always = fault

    def calm(self) -> None:
        """From here on nothing goes wrong."""
        self._once.clear()
        self._always = None

    def take(self) -> Fault:
        """The fault of the answer that is due."""
        if self._once:
            return self._once.popleft()
        return self._always or Fault()
