"""Progress of a run on the terminal: one bar a target, with rate, time left and failures; on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from bench.eval.run import Report


class _Rate(TextColumn):
    """Rows a second, over the last half minute."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.2f} rows/s")


@contextmanager
def bars() -> Iterator[Report]:
    """Yields what a run tells its progress to."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(""),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[failed]} failed"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks = {}

        def report(target: str, done: int, total: int, failed: int) -> None:
            if target not in tasks:
                tasks[target] = progress.add_task(target, total=total, completed=done, failed=failed)
            progress.update(tasks[target], completed=done, failed=failed)

        yield report


@contextmanager
def bar(total: int) -> Iterator[Callable[[int, str], None]]:
    """One bar of `total` steps; yields what is told how many are done and what comes next."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total)
        yield lambda done, what: progress.update(task, completed=done, description=what)
