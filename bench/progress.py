"""Progress of a run on the terminal: one bar a target, with rate, time left and failures; on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from bench.eval.run import Report


_PLAIN_INTERVAL = 20.0
"""Seconds between two lines where stderr is no terminal."""


class _Pace(ProgressColumn):
    """How many a second since the start, and the time left at that pace.

    Rich's own columns look at the last samples only; answers come in bursts, as many as are asked at once.
    """

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        fresh = task.completed - task.fields["before"]
        if not fresh or not task.elapsed:
            return Text("")
        rate = fresh / task.elapsed
        if task.finished:
            return Text(f"{rate:.2f} {self._unit}/s, took {timedelta(seconds=round(task.elapsed))}")
        left = timedelta(seconds=round((task.remaining or 0) / rate))
        return Text(f"{rate:.2f} {self._unit}/s, {left} left")


@contextmanager
def bars(unit: str = "rows") -> Iterator[Report]:
    """Yields what a run tells its progress to; `unit` is what it counts."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Pace(unit),
        TextColumn("{task.fields[failed]} failed"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks = {}

        def report(target: str, done: int, total: int, failed: int) -> None:
            if target not in tasks:
                tasks[target] = progress.add_task(
                    target, total=total, completed=done, before=done, failed=failed
                )
            progress.update(tasks[target], completed=done, failed=failed)

        yield report


@contextmanager
def timed(total: float) -> Iterator[Callable[[float, str], None]]:
    """One bar of `total` seconds; yields what is told how many are done and what comes next.

    Where stderr is no terminal it is a line now and then. It is drawn seldom, for drawing takes time from
    what is measured.
    """
    columns = (BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console, total)
        return
    with Progress(*columns, console=console, refresh_per_second=1) as progress:
        task = progress.add_task("", total=total)
        yield lambda done, what: progress.update(task, completed=done, description=what)


def _lines(console: Console, total: float) -> Callable[[float, str], None]:
    due = 0.0

    def report(done: float, what: str) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + _PLAIN_INTERVAL
            left = timedelta(seconds=round(max(0.0, total - done)))
            console.print(f"{what} ({left} left)", highlight=False, markup=False)

    return report
