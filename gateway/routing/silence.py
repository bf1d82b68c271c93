"""Progress of one replica: how long it has owed bytes to several requests and sent none to anybody."""

from __future__ import annotations

SEVERAL = 2
"""One request alone may wait long for its first event; an engine at work gives the others theirs meanwhile."""


class Silence:
    """Streams are owed bytes all the time. A plain reply comes whole at its end, so it counts only where the engine
    tells by a counter of tokens that it works."""

    def __init__(self) -> None:
        self._streams = 0
        self._plain = 0
        self._tokens: float | None = None
        self._since = 0.0
        self._heard = 0.0

    def began(self, stream: bool, now: float) -> None:
        before = self._owed
        if stream:
            self._streams += 1
        else:
            self._plain += 1
        if before < SEVERAL <= self._owed:
            self._since = now

    def ended(self, stream: bool) -> None:
        if stream:
            self._streams -= 1
        else:
            self._plain -= 1

    def heard(self, at: float) -> bool:
        """The last byte, for whomever, came `at`; True when that is news."""
        news = at > self._heard
        if news:
            self._heard = at
            self._since = max(self._since, at)
        return news

    def counted(self, tokens: float, now: float) -> bool:
        """The engine's counter of tokens; True when it has moved, which is as good as a byte."""
        moved = tokens != self._tokens
        self._tokens = tokens
        if moved:
            self._since = now
        return moved

    def lasted(self, now: float) -> float:
        """Seconds of silence towards several; 0 where fewer wait."""
        return now - self._since if self._owed >= SEVERAL else 0.0

    @property
    def _owed(self) -> int:
        return self._streams + (self._plain if self._tokens else 0)
