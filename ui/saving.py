"""Saves at the gateway what grows, on a thread of its own.

An answer that streams never waits for it, a page that is closed loses nothing, and what could not be saved is tried
again until it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import closing
from threading import Event, Lock, Thread

from ui.client import Gateway, GatewayError
from ui.history import History

EVERY = 1.0  # seconds between two looks at what grows
AGAIN = 3.0  # seconds until what failed is tried again


class Saving(ABC):
    """What is saved, and how, is said by those that are made of this."""

    def __init__(self) -> None:
        self.failure: GatewayError | None = None  # why the latest attempt to save was in vain
        self._lock = Lock()
        self._working = False
        self._last_try = False
        self._wake = Event()
        self._known = Event()

    @property
    def working(self) -> bool:
        """Whether it is still at it: more comes, or what came is not saved yet."""
        return self._working

    @property
    @abstractmethod
    def running(self) -> bool:
        """Whether more will come by itself."""

    @abstractmethod
    def save(self, history: History) -> None:
        """Save what is not saved yet. Raises GatewayError."""

    def keep(self, gateway: Gateway, within: float) -> None:
        """Save what there is and what comes; waits up to `within` seconds for all of it to have its ids."""
        self._known.clear()
        self._wake.set()
        with self._lock:
            begin, self._working = not self._working, True
        if begin:
            # The session may close its client at any moment.
            own = Gateway(gateway.url, gateway.key)
            Thread(target=self._work, args=(own,), daemon=True).start()
        self._known.wait(within)

    def named(self) -> None:
        """Nobody needs to wait any longer: what the URL names has its id."""
        self._known.set()

    def end(self) -> None:
        """Save once more, and try no longer if that fails."""
        self._last_try = True
        self._wake.set()

    def _work(self, gateway: Gateway) -> None:
        history = History(gateway)
        with closing(gateway):
            while True:
                self._wake.clear()
                running = self.running
                try:
                    self.save(history)
                    self.failure = None
                except GatewayError as error:
                    self.failure = error
                self.named()
                if self._over(running):
                    return
                self._wake.wait(AGAIN if self.failure else EVERY)

    def _over(self, running: bool) -> bool:
        """Whether nothing is left to do; whoever has more to keep begins a new thread."""
        with self._lock:
            over = self._hopeless() or not (running or self.failure or self._wake.is_set())
            self._working = not over
            return over

    def _hopeless(self) -> bool:
        """Whether trying again cannot help: a conversation that was deleted, say, must not come back."""
        if self.failure is None:
            return False
        refused = self.failure.status is not None and 400 <= self.failure.status < 500
        return self._last_try or (refused and self.failure.status != 429)
