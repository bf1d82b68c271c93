"""A plain reply on its way through: held until it is whole, so that a cut one becomes a clean error; a very long one
passes on as it comes."""

from __future__ import annotations

from gateway.proxy.edit import HOLD, Edit
from gateway.proxy.events import Rename, tokens

TAIL = 1024
"""Bytes at the end of a longer reply that are kept for the count of tokens in them."""


class PlainReply:
    """Feed it what arrives; it returns what may go on. `usage` is the prompt and completion tokens, once they are read."""

    __slots__ = ("_edit", "_held", "_most", "_rename", "_size", "passing", "usage")

    def __init__(self, rename: Rename, edit: Edit | None = None) -> None:
        self._rename = rename
        self._edit = edit
        self._most = HOLD if edit is None else edit.most
        self._held: list[bytes] = []
        self._size = 0
        self.passing = False
        self.usage: tuple[int, int] | None = None

    def feed(self, chunk: bytes) -> bytes:
        """What of it goes on now: nothing, until there is too much to hold."""
        if self.passing:
            before = self._held[0]
            self._held[0] = chunk[-TAIL:] if len(chunk) >= TAIL else (before + chunk)[-TAIL:]
            return chunk
        self._held.append(chunk)
        self._size += len(chunk)
        if self._size <= self._most:
            return b""
        self.passing = True
        begun = b"".join(self._held)
        self.usage = tokens(begun)
        self._held = [begun[-TAIL:]]
        return self._rename(begun)

    def end(self) -> bytes:
        """The whole reply as the client gets it, or nothing where it has passed on already."""
        body = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        # An engine's count stands at a reply's end, seldom at its beginning.
        self.usage = tokens(body) or self.usage
        if self.passing:
            return b""
        body = self._rename(body)
        return body if self._edit is None else self._edit.whole(body)

    @property
    def error(self) -> bytes | None:
        """The reply, held whole, where it is an error for all that its status is 200."""
        if self.passing or not self._held:
            return None
        if len(self._held) > 1:
            self._held = [b"".join(self._held)]
        return self._held[0] if self._held[0][:24].lstrip().startswith(b'{"error"') else None
