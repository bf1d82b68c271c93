"""A clock that stands still until a test moves it."""


class Clock:
    """Seconds, as a function and as an event loop tells them."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def time(self) -> float:
        """The time, by the name that an event loop has for it."""
        return self.now

    def pass_(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.now += seconds
