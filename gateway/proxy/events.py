"""Server-sent events on their way through: cut into whole events, and left as they are but for three things.

The model's name becomes the one that the client asked for, a usage event that nobody asked for is dropped, and an
error event is recognised, because an engine may send one after a 200 and still end in `[DONE]`.
The framing is that of the HTML standard, section "Server-sent events"; the end marker is OpenAI's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import orjson

from praxis.errors import UpstreamError

MAX_EVENT = 8 * 1024 * 1024
"""Bytes of one event before the stream is called broken: the tail is held in memory until it is whole."""

_BLANK = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_EMPTY_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_PROMPT = re.compile(rb'"prompt_tokens"\s*:\s*(\d+)')
_COMPLETION = re.compile(rb'"completion_tokens"\s*:\s*(\d+)')


def tokens(payload: bytes) -> tuple[int, int] | None:
    """The prompt and completion tokens that an engine's `usage` counts, or None where it gives none."""
    prompt, completion = _PROMPT.search(payload), _COMPLETION.search(payload)
    if prompt is None:
        return None
    return int(prompt[1]), int(completion[1]) if completion else 0


class Rename:
    """Puts the public model name where the engine wrote its own; nothing happens when they are the same."""

    def __init__(self, upstream: str, public: str) -> None:
        self.active = upstream != public
        if self.active:
            # An engine in Python may spell a name beyond ASCII with escapes, which orjson never does.
            spellings = {re.escape(orjson.dumps(upstream)), re.escape(json.dumps(upstream).encode())}
            self._pattern = re.compile(rb'("model"\s*:\s*)(?:' + b"|".join(spellings) + rb")")
            self._public = orjson.dumps(public)

    def __call__(self, event: bytes) -> bytes:
        """`event` with its first `"model"` renamed: a quote inside a JSON string is escaped, so none matches there."""
        if not self.active:
            return event
        return self._pattern.sub(lambda found: found[1] + self._public, event, count=1)


@dataclass(slots=True)
class EventStream:
    """Feed it what arrives; it returns what may go on, whole events only.

    `error` holds the engine's error object once one was met (nothing after it is passed on), `done` is True after
    `[DONE]`, and `usage` the token counts. Raises UpstreamError when an event exceeds `MAX_EVENT`.
    """

    rename: Rename
    keep_usage: bool
    done: bool = False
    error: Any = None
    usage: tuple[int, int] | None = None
    started: bool = False
    _tail: bytearray = field(default_factory=bytearray)

    def feed(self, chunk: bytes) -> bytes:
        if self.done or self.error is not None:
            return b""
        # Only the seam between the tail and the new bytes can complete a separator that the tail lacked.
        seam = max(0, len(self._tail) - 3)
        self._tail += chunk
        ends = [blank.end() for blank in _BLANK.finditer(self._tail, seam)]
        if not ends:
            if len(self._tail) > MAX_EVENT:
                raise UpstreamError(f"The engine sent an event of more than {MAX_EVENT} bytes.")
            return b""
        whole = bytes(self._tail[: ends[-1]])
        del self._tail[: ends[-1]]
        return self._pass(whole)

    def _pass(self, whole: bytes) -> bytes:
        passed = []
        start = 0
        for blank in _BLANK.finditer(whole):
            event = whole[start : blank.end()]
            start = blank.end()
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
        if b"[DONE]" in event and _data(event).strip().startswith(b"[DONE]"):
            self.done = True
            return event
        if b'"error"' in event and self._is_error(event):
            return b""
        if b'"usage"' in event:
            self.usage = tokens(event) or self.usage
            if not self.keep_usage and _EMPTY_CHOICES.search(event):
                return b""
        return self.rename(event)

    def _is_error(self, event: bytes) -> bool:
        try:
            payload = orjson.loads(_data(event))
        except orjson.JSONDecodeError:
            return False
        if isinstance(payload, dict) and payload.get("error"):
            self.error = payload["error"]
        return self.error is not None


def _data(event: bytes) -> bytes:
    """The event's `data` lines, joined as the standard says."""
    lines = re.split(rb"\r\n|\n|\r", event)
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))
