"""What others put on a replica: the engine's own count of its requests, as far as it is fresh and not ours anyway."""

from __future__ import annotations

from gateway.backends.load import Load

FRESH_SECONDS = 6.0
"""How long a scraped number is believed: three rounds of probes. Old ones send everybody the same, wrong way."""


class Pressure:
    """Adds to our own live count what only the engine knows; never replaces it, so that a number that is some
    seconds old cannot make every request of those seconds take the same replica."""

    def __init__(self) -> None:
        self._load: Load | None = None
        self.felt = False
        """Whether there may be anything beyond our own; mostly there is not, and then nobody needs to ask."""
        self._fresh_until = 0.0
        self._in_flight = 0
        self._others = 0.0

    def scraped(self, load: Load, in_flight: int, now: float) -> None:
        """The engine said `load` while `in_flight` of its requests were ours."""
        self._load = load
        self._fresh_until = now + FRESH_SECONDS
        self._in_flight = in_flight
        self._others = max(0.0, load.running + load.waiting - in_flight)
        self.felt = bool(self._others or load.waiting)

    def fresh(self, now: float) -> Load | None:
        """What the engine said, while that is news."""
        return self._load if now < self._fresh_until else None

    def beyond(self, in_flight: int, now: float) -> float:
        """What counts beside our own `in_flight`: the requests of others, and once more all that wait in the engine,
        for those mean that it has no room. Each of ours that ended since let one of the waiting in."""
        if self._load is None or now >= self._fresh_until:
            self.felt = False
            return 0.0
        ended = max(0, self._in_flight - in_flight)
        return self._others + max(0.0, self._load.waiting - ended)
