"""A plain reply that comes in pieces: held until it is whole, so that a cut one becomes a clean error; a very long one
passes on as it comes."""

from __future__ import annotations

from gateway.proxy.edit import HOLD, Edit
from gateway.proxy.events import Rename, tokens

TAIL = 1024
"""Bytes at the end of a longer reply that are kept for the count of tokens in them."""


class PlainReply:
    """Feed it what arrives; it returns what may go on already. `passing` says that there was too much to hold."""

    def __init__(self, rename: Rename, edit: Edit | None) -> None:
        self.rename = rename
        self.edit = edit
        self.passing = False
        self.usage: tuple[int, int] | None = None
        """The prompt and completion tokens that a long reply tells at its beginning, as few do."""
        self._most = HOLD if edit is None else edit.most
        self._held: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> bytes:
        """What of it goes on now: nothing, until there is too much to hold."""
        if self.passing:
            self._held = [chunk[-TAIL:] if len(chunk) >= TAIL else (self.held + chunk)[-TAIL:]]
            return chunk
        self._held.append(chunk)
        self._size += len(chunk)
        if self._size <= self._most:
            return b""
        self.passing = True
        begun = self.held
        self.usage = tokens(begun)
        self._held = [begun[-TAIL:]]
        return self.rename(begun)

    @property
    def held(self) -> bytes:
        """The whole of it; of one that passes, the end."""
        return b"".join(self._held)
