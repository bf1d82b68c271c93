"""Heads of HTTP/1.1 messages: what a request's head says, and heads that are known again without being parsed.

Client and engine send the same head on their connections time after time: fifteen lines of an SDK, five of uvicorn, of
which only the digits of `content-length` change (and an engine's date, once a second). Reading them costs more than
anything else that is done in Python for a request. What is taken for the same is the same byte by byte, so nothing
passes that the parser has not seen and accepted.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Generic, TypeVar

Headers = list[tuple[bytes, bytes]]

T = TypeVar("T")

DIGITS = 9
"""Of a length, at most."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,%d})\r\n" % DIGITS, re.IGNORECASE)
_CLEAN_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE = re.compile(rb"[\x20-\x7e]{1,512}")


class Head:
    """What a request's head says. `headers` have their names in lower case.

    `digest` is the hash of the key, empty where there is not exactly one `Authorization: Bearer …`. `request_id` is the
    client's own where it is short and clean, `traceparent` and `tracestate` W3C's, `session` what belongs together: empty
    if not sent.
    """

    __slots__ = (
        "digest",
        "headers",
        "keep_alive",
        "path",
        "request_id",
        "session",
        "traceparent",
        "tracestate",
    )

    def __init__(self, path: str, headers: Headers, keep_alive: bool = False) -> None:
        self.path = path
        self.headers = headers
        self.keep_alive = keep_alive
        self.request_id = self.traceparent = self.tracestate = self.session = ""
        keys = []
        for name, value in headers:
            if name == b"authorization":
                keys.append(value)
            elif name == b"x-request-id" and _CLEAN_ID.fullmatch(value):
                self.request_id = str(value, "ascii")
            elif name == b"traceparent" and _TRACEPARENT.fullmatch(value):
                self.traceparent = str(value, "ascii")
            elif name == b"tracestate" and _TRACESTATE.fullmatch(value):
                self.tracestate = str(value, "ascii")
            elif name == b"x-session-id":
                self.session = str(value, "latin-1")
        plain = len(keys) == 1 and keys[0].startswith(b"Bearer ")
        self.digest = sha256(keys[0][7:]).hexdigest() if plain else ""


class ReplyHead:
    """What the head of an engine's reply says. `headers` have their names in lower case, `line` is what the client's head
    says of its content, and `streams` whether that is events."""

    __slots__ = ("headers", "line", "status", "streams")

    def __init__(self, status: int, headers: Headers) -> None:
        self.status = status
        self.headers = headers
        content_type = self.get(b"content-type") or b"application/json"
        self.streams = content_type.startswith(b"text/event-stream")
        self.line = b"content-type: %s\r\n" % content_type

    def get(self, name: bytes) -> bytes:
        """The first header of that name; empty where there is none."""
        return next((value for key, value in self.headers if key == name), b"")


class Known(Generic[T]):
    """The bytes of a head that the parser has accepted, and what they `mean`."""

    __slots__ = ("_after", "_before", "_latest", "_rest", "_start", "means")

    def __init__(self, before: bytes, after: bytes, means: T) -> None:
        self._before = before
        self._after = after
        self._start = len(before)
        self._rest = len(after)
        self._latest = self._start + DIGITS + self._rest
        self.means = means

    @classmethod
    def of(cls, data: bytes, means: T) -> Known[T] | None:
        """The head of `data`, one whole message that was just parsed; None where it has no plain length."""
        end = data.find(b"\r\n\r\n") + 4
        lengths = _LENGTH.findall(data, 0, end)
        if len(lengths) != 1 or end + int(lengths[0]) != len(data):
            return None
        found = _LENGTH.search(data, 0, end)
        assert found is not None
        return cls(data[: found.start(1)], data[found.end(1) : end], means)

    def body(self, data: bytes) -> bytes | None:
        """The body of `data` if that is one whole message with this very head, else None."""
        if not data.startswith(self._before):
            return None
        end = data.find(self._after, self._start, self._latest)
        if end < 0 or not (digits := data[self._start : end]).isdigit():
            return None
        body = data[end + self._rest :]
        return body if int(digits) == len(body) else None
