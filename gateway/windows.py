"""How much was used within the last minute, as a sliding window counter: two numbers per limit, however many requests.

The arithmetic is that of the `limits` library: clock minutes, and of the minute before as large a part as still lies
within the last sixty seconds. The library's own memory store is the reference that tests compare this with, here and in
Redis, but not what counts here: for two limits and their headers it takes ten times as long (it walks dictionaries under
a lock and starts timers in threads to clean them), which is as much as a request's whole way through the gateway.
"""

from __future__ import annotations

from math import ceil, floor

SECONDS = 60


class Window:
    """What one limit of one key counts. Times are Unix seconds."""

    __slots__ = ("current", "index", "previous")

    def __init__(self, index: int = 0, current: int = 0, previous: int = 0) -> None:
        self.index = index
        self.current = current
        self.previous = previous

    def used(self, now: float) -> int:
        """What counts at `now`."""
        index = int(now // SECONDS)
        if index > self.index:
            self.previous = self.current if index == self.index + 1 else 0
            self.current = 0
            self.index = index
        if not self.previous:
            return self.current
        return floor(self.previous * _left(now) / SECONDS + self.current)

    def correct(self, index: int, difference: int) -> None:
        """Change what was counted in the minute `index`: what was too much is taken out there, as far as it still counts;
        what was too little was used since, and counts from now on."""
        if difference > 0:
            self.current += difference
        elif index == self.index:
            self.current = max(0, self.current + difference)
        elif index == self.index - 1:
            self.previous = max(0, self.previous + difference)

    def wait(self, now: float, limit: int, cost: int) -> int:
        """The whole seconds after which `cost` (at most `limit`) fits, if nothing else comes."""
        room = limit - cost + 1
        left = _left(now)
        if self.current < room:
            seconds = left - (room - self.current) * SECONDS / self.previous if self.previous else 0.0
        else:
            seconds = left + SECONDS - room * SECONDS / self.current
        return max(1, ceil(seconds))

    def reset(self, now: float) -> int:
        """The whole seconds after which nothing of this counts any more."""
        if self.current:
            return ceil(_left(now) + SECONDS)
        return ceil(_left(now)) if self.previous else 0

    def idle(self, now: float) -> bool:
        """Whether nothing of this counts any more."""
        return now // SECONDS > self.index + 1


def _left(now: float) -> float:
    """The seconds for which the minute of `now` still goes on."""
    return (1 - (((now - SECONDS) / SECONDS) % 1)) * SECONDS
