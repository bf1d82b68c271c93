"""Progress on a terminal: what is being done, how much of it, and for how long."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

_LIVE_INTERVAL = 0.2
"""Seconds between two drawings of a line on a terminal."""

_PLAIN_INTERVAL = 10.0
"""Seconds between two lines where the output is no terminal and a line cannot be drawn over."""


class Report(Protocol):
    """Where a step says what it is at, and how much is done (0..1, None when unknown)."""

    def __call__(self, text: str, fraction: float | None = None) -> None: ...


class Progress:
    """Prints one line for each step: live while it runs on a terminal, now and then elsewhere."""

    def __init__(self, output: TextIO | None = None) -> None:
        self._output = output or sys.stdout
        self._live = self._output.isatty()
        self._drawn = False
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Print `text` on lines of its own."""
        with self._lock:
            if self._drawn:
                self._output.write("\r\x1b[K")
                self._drawn = False
            print(text, file=self._output, flush=True)

    @contextmanager
    def step(self, title: str) -> Iterator[Report]:
        """Time a step; yields the sink for its reports, of which the last is shown while it goes on."""
        began = time.monotonic()
        latest = ""

        def report(text: str, fraction: float | None = None) -> None:
            nonlocal latest
            latest = f": {text}" + ("" if fraction is None else f"  {fraction:.0%}")

        def show() -> None:
            wait = _LIVE_INTERVAL if self._live else 1.0
            while not done.wait(wait):
                self._draw(f"… {title}{latest}  {_clock(time.monotonic() - began)}")
                wait = _LIVE_INTERVAL if self._live else _PLAIN_INTERVAL

        done = threading.Event()
        shower = threading.Thread(target=show, daemon=True)
        shower.start()
        mark = "✗"
        try:
            yield report
            mark = "✓"
        finally:
            done.set()
            shower.join()
            self.say(f"{mark} {title}  {_clock(time.monotonic() - began)}")

    def _draw(self, line: str) -> None:
        with self._lock:
            if not self._live:
                print(line, file=self._output, flush=True)
                return
            width = shutil.get_terminal_size().columns - 1
            self._output.write("\r\x1b[K" + line[:width])
            self._output.flush()
            self._drawn = True


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
