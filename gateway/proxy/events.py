"""Server-sent events on their way through: cut into whole events, and left as they are but for three things.

The model's name becomes the one that the client asked for, a usage event that nobody asked for is dropped, and an
error event is recognised, because an engine may send one after a 200 and still end in `[DONE]`.
The framing is that of the HTML standard, section "Server-sent events"; the end marker is OpenAI's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from gateway.proxy.edit import Edit
from praxis.errors import UpstreamError

MAX_EVENT = 8 * 1024 * 1024
"""Bytes of one event before the stream is called broken: the tail is held in memory until it is whole."""

_BLANK = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINE = re.compile(rb"\r\n|\n|\r")
_EMPTY_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_PROMPT = re.compile(rb'"(?:prompt|input)_tokens"\s*:\s*(\d+)')
# As engines usually write it: one search in place of two.
_TOKENS = re.compile(rb'"prompt_tokens": ?(\d+),(?: ?"total_tokens": ?\d+,)? ?"completion_tokens": ?(\d+)')
_COMPLETION = re.compile(rb'"(?:completion|output)_tokens"\s*:\s*(\d+)')


def tokens(payload: bytes) -> tuple[int, int] | None:
    """The prompt and completion tokens that an engine's `usage` counts, or None where it gives none."""
    # Usage stands at a reply's end, and there is no need to look through all of a long answer for it.
    start = max(payload.rfind(b'"usage"'), 0)
    if (plain := _TOKENS.search(payload, start)) is not None:
        return int(plain[1]), int(plain[2])
    prompt, completion = _PROMPT.search(payload, start), _COMPLETION.search(payload, start)
    if prompt is None:
        return None
    return int(prompt[1]), int(completion[1]) if completion else 0


class Rename:
    """Puts the public model name where the engine wrote its own; nothing happens when they are the same.

    A quote inside a JSON string is escaped, so `"model"` never matches within one. Engines write the field in one of
    two ways, compact and with a space; these are replaced without a regular expression.
    """

    def __init__(self, upstream: str, public: str) -> None:
        self.active = upstream != public
        if self.active:
            mine, theirs = orjson.dumps(public), orjson.dumps(upstream)
            # An engine in Python may spell a name beyond ASCII with escapes, which orjson never does.
            spellings = {re.escape(theirs), re.escape(json.dumps(upstream).encode())}
            self._pattern = re.compile(rb'("model"\s*:\s*)(?:' + b"|".join(spellings) + rb")")
            self._public = mine
            self._compact, self._compact_public = b'"model":' + theirs, b'"model":' + mine
            self._spaced, self._spaced_public = b'"model": ' + theirs, b'"model": ' + mine

    def __call__(self, events: bytes) -> bytes:
        """`events` with the engine's name replaced wherever it is the value of a `model`."""
        if not self.active:
            return events
        fields = events.count(b'"model"')
        if fields == events.count(self._compact):
            return events.replace(self._compact, self._compact_public)
        if fields == events.count(self._spaced):
            return events.replace(self._spaced, self._spaced_public)
        return self._pattern.sub(lambda found: found[1] + self._public, events)


rename = lru_cache(maxsize=1024)(Rename)
"""The `Rename` of a pair of names: making one costs more than a request has to spend."""


@dataclass(slots=True)
class EventStream:
    """Feed it what arrives; it returns what may go on, whole events only.

    `error` holds the engine's error object once one was met (nothing after it is passed on), `done` is True after
    `[DONE]`, `failed` where that end itself tells of a failure, `usage` the token counts, and `seen` how many events had content. `edit` is applied to each event that carries data and goes on. Raises
    UpstreamError when an event exceeds `MAX_EVENT`.
    """

    rename: Rename
    keep_usage: bool
    edit: Edit | None = None
    done: bool = False
    failed: bool = False
    error: Any = None
    usage: tuple[int, int] | None = None
    started: bool = False
    seen: int = 0
    _tail: bytearray = field(default_factory=bytearray)

    def feed(self, chunk: bytes) -> bytes:
        if self.done or self.error is not None or not chunk:
            return b""
        if not self._tail:
            end = _last_end(chunk)
            if end == len(chunk):
                return self._pass(chunk)
            self._tail += chunk
        else:
            # Only the seam between the tail and the new bytes can complete a separator that the tail lacked.
            seam = max(0, len(self._tail) - 3)
            self._tail += chunk
            end = _last_end(bytes(self._tail[seam:]))
            end = end and seam + end
        if not end:
            if len(self._tail) > MAX_EVENT:
                raise UpstreamError(f"The engine sent an event of more than {MAX_EVENT} bytes.")
            return b""
        whole = bytes(self._tail[:end])
        del self._tail[:end]
        return self._pass(whole)

    def _pass(self, whole: bytes) -> bytes:
        """What of these whole events goes on. Plain content, nearly all of a stream, goes at once."""
        start = len(whole) if self.edit is None else 0
        if start and (special := _first_special(whole)) is not None:
            start = whole.rfind(b"\n\n", 0, special) + 2 if b"\n\n" in whole[:special] else 0
        if start:
            self.seen += whole.count(b"data:", 0, start)
        if start == len(whole):
            self.started = True
            return self.rename(whole)
        passed = []
        if start:
            self.started = True
            passed.append(self.rename(whole[:start]))
        for event in split(whole, start):
            kept = self._event(event)
            if kept:
                passed.append(kept)
            if self.done or self.error is not None:
                break
        return b"".join(passed)

    def _event(self, event: bytes) -> bytes:
        if event.startswith(b":") and b"data:" not in event:
            return event
        self.started = True
        if b"[DONE]" in event and data_of(event).strip().startswith(b"[DONE]"):
            self.done = True
            return event if self.edit is None else self.edit.flush() + event
        if b'"error"' in event and self._is_error(event):
            return b""
        if b'"usage"' in event:
            self.usage = tokens(event) or self.usage
            if not self.keep_usage and _EMPTY_CHOICES.search(event):
                return b""
        self.seen += 1
        renamed = self.rename(event)
        return renamed if self.edit is None else self.edit(renamed)

    def _is_error(self, event: bytes) -> bool:
        try:
            payload = orjson.loads(data_of(event))
        except orjson.JSONDecodeError:
            return False
        if isinstance(payload, dict) and payload.get("error"):
            self.error = payload["error"]
        return self.error is not None


def split(whole: bytes, start: int = 0) -> Iterator[bytes]:
    """The events of `whole`, which ends with one, from `start`."""
    for blank in _BLANK.finditer(whole, start):
        yield whole[start : blank.end()]
        start = blank.end()


def _last_end(data: bytes) -> int:
    """Where the last whole event of `data` ends, 0 when none does."""
    if b"\r" not in data:
        return data.rfind(b"\n\n") + 2 if b"\n\n" in data else 0
    ends = [blank.end() for blank in _BLANK.finditer(data)]
    return ends[-1] if ends else 0


def _first_special(whole: bytes) -> int | None:
    """Where in `whole` something begins that takes a look at its event: an end, an error, tokens, odd framing, a
    comment. None where all is plain content."""
    if whole.startswith(b":") or b"\r" in whole:
        return 0
    found = [at for mark in (b"[DONE]", b'"error"', b'"usage"') if (at := whole.find(mark)) >= 0]
    return min(found) if found else None


def data_of(event: bytes) -> bytes:
    """The event's `data` lines, joined as the standard says."""
    if _one_line(event):
        return event[6:-2]
    return b"\n".join(line[5:].removeprefix(b" ") for line in _LINE.split(event) if line.startswith(b"data:"))


def with_data(event: bytes, data: bytes) -> bytes:
    """`event` with this `data`, of one line, in place of its own."""
    others = () if _one_line(event) else (each for each in _LINE.split(event) if each)
    kept = b"".join(each + b"\n" for each in others if not each.startswith(b"data:"))
    return b"%sdata: %s\n\n" % (kept, data)


def _one_line(event: bytes) -> bool:
    """Whether the event is written as engines write them: one line of data and a blank one."""
    return event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and b"\r" not in event
