"""Progress of one replica: how long it has owed bytes to several requests and sent none to anybody."""

from __future__ import annotations

SEVERAL = 2
"""One request alone may wait long for its first event; an engine at work gives the others theirs meanwhile."""


class Silence:
    """Streams are owed bytes all the time. A plain reply comes whole at its end, so it counts only where the engine
    tells by a counter of tokens that it works.

    Requests only count themselves; `lasted`, asked ten times a second, keeps the time.
    """

    __slots__ = ("_heard", "_plain", "_since", "_streams", "_tokens")

    def __init__(self) -> None:
        self._streams = 0
        self._plain = 0
        self._tokens: float | None = None
        self._since: float | None = None
        self._heard = 0.0

    def owed(self, stream: bool, more: int) -> None:
        """So many requests more are owed bytes."""
        if stream:
            self._streams += more
        else:
            self._plain += more

    def heard(self, at: float) -> bool:
        """The last byte, for whomever, came `at`; True when that is news."""
        news = at > self._heard
        if news:
            self._heard = at
            self._since = None if self._since is None else max(self._since, at)
        return news

    def counted(self, tokens: float, now: float) -> bool:
        """The engine's counter of tokens; True when it has moved, which is as good as a byte."""
        moved = tokens != self._tokens
        self._tokens = tokens
        if moved:
            self._since = None if self._since is None else now
        return moved

    def lasted(self, now: float) -> float:
        """Seconds of silence towards several; 0 where fewer wait."""
        if self._streams + (self._plain if self._tokens else 0) < SEVERAL:
            self._since = None
        elif self._since is None:
            self._since = now
        return 0.0 if self._since is None else now - self._since
