"""A request's head that the parser has accepted, to know its like again without parsing it.

A client sends the same head on a connection time after time: fifteen lines of an SDK, of which only the digits of
`content-length` change. Reading them costs more than anything else that is done in Python for a request. What is
taken for the same is the same byte by byte, so nothing passes that the parser has not seen and accepted.
"""

from __future__ import annotations

import re

from gateway.proxy.connection import Headers

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})\r\n", re.IGNORECASE)


class Head:
    """One accepted head: its path, its headers with names in lower case, and whether its connection is kept."""

    __slots__ = ("_after", "_before", "_start", "headers", "keep_alive", "path")

    def __init__(self, before: bytes, after: bytes, path: str, headers: Headers, keep_alive: bool) -> None:
        self._before = before
        self._start = len(before)
        self._after = after
        self.path = path
        self.headers = headers
        self.keep_alive = keep_alive

    @classmethod
    def of(cls, data: bytes, path: str, headers: Headers, keep_alive: bool) -> Head | None:
        """The head of `data`, one whole request that was just parsed; None where it has no plain length."""
        end = data.find(b"\r\n\r\n") + 4
        lengths = _LENGTH.findall(data, 0, end)
        if len(lengths) != 1 or end + int(lengths[0]) != len(data):
            return None
        found = _LENGTH.search(data, 0, end)
        assert found is not None
        return cls(data[: found.start(1)], data[found.end(1) : end], path, headers, keep_alive)

    def body(self, data: bytes) -> bytes | None:
        """The body of `data` if that is one whole request with this very head, else None."""
        if not data.startswith(self._before):
            return None
        end = data.find(b"\r", self._start, self._start + 10)
        digits = data[self._start : end]
        if end < 0 or not digits.isdigit() or not data.startswith(self._after, end):
            return None
        start = end + len(self._after)
        return data[start:] if int(digits) == len(data) - start else None
