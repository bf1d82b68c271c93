"""Progress on a terminal: what is being done, how much of it, and for how long."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

_PLAIN_INTERVAL = 10.0
"""Seconds between lines where the output is no terminal and a line cannot be drawn over."""


class Report(Protocol):
    """Where a step says what it is at, and how much is done (0..1, None when unknown)."""

    def __call__(self, text: str, fraction: float | None = None) -> None: ...


class Progress:
    """Prints one line for each step: live while it runs on a terminal, now and then elsewhere."""

    def __init__(self, output: TextIO | None = None) -> None:
        self._output = output or sys.stdout
        self._live = self._output.isatty()
        self._drawn = False

    def say(self, text: str) -> None:
        """Print `text` on lines of its own."""
        self._clear()
        print(text, file=self._output, flush=True)

    @contextmanager
    def step(self, title: str) -> Iterator[Report]:
        """Time a step; yields the sink for its reports."""
        began = time.monotonic()
        drawn = began if self._live else began - _PLAIN_INTERVAL + 1

        def report(text: str, fraction: float | None = None) -> None:
            nonlocal drawn
            now = time.monotonic()
            if now - drawn < (0.1 if self._live else _PLAIN_INTERVAL):
                return
            drawn = now
            percent = "" if fraction is None else f"  {fraction:.0%}"
            self._draw(f"… {title}: {text}{percent}  {_clock(now - began)}")

        if self._live:
            self._draw(f"… {title}")
        try:
            yield report
        except BaseException:
            # Not handled here: whatever ends the step, its line must say so before the reason is printed.
            self.say(f"✗ {title}  {_clock(time.monotonic() - began)}")
            raise
        self.say(f"✓ {title}  {_clock(time.monotonic() - began)}")

    def _draw(self, line: str) -> None:
        if not self._live:
            print(line, file=self._output, flush=True)
            return
        width = shutil.get_terminal_size().columns - 1
        self._output.write("\r\x1b[K" + line[:width])
        self._output.flush()
        self._drawn = True

    def _clear(self) -> None:
        if self._drawn:
            self._output.write("\r\x1b[K")
            self._drawn = False


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
