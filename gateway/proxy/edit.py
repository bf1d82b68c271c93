"""What changes a reply on its way to the client, where a model's configuration or its engine's habits ask for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.proxy.call import Call

HOLD = 1024 * 1024
"""Bytes of a plain reply that are held until it is whole, so that a cut one becomes a clean error."""


class Edit(Protocol):
    """The edit of one reply: called with each event of a stream, or `whole` with the body of a plain reply."""

    most: int
    """Bytes of a plain reply that are held for `whole`; a longer one passes as it is."""

    def __call__(self, event: bytes) -> bytes:
        """`event` as the client gets it; empty when it is held back."""
        ...

    def flush(self) -> bytes:
        """The events that were held back, now that the stream ends."""
        ...

    def whole(self, body: bytes) -> bytes:
        """A plain reply's body as the client gets it."""
        ...


Editor = Callable[[str, Call], Edit | None]
"""Makes the edit of one reply, by the path that was asked and the call."""


class Both:
    """One edit after another. The first holds nothing back."""

    def __init__(self, first: Edit, then: Edit) -> None:
        self.first = first
        self.then = then
        self.most = max(first.most, then.most)

    def __call__(self, event: bytes) -> bytes:
        return self.then(self.first(event))

    def flush(self) -> bytes:
        return self.then.flush()

    def whole(self, body: bytes) -> bytes:
        return self.then.whole(self.first.whole(body))
