"""Figures sent to the trackers that people already keep their trainings in, through the trackers' own clients.

None is installed with Praxis. Where each one keeps what it is given is for its own variables to say (`MLFLOW_TRACKING_URI`,
`SWANLAB_MODE` …); without them everything stays on this machine.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from praxis.errors import ConfigError, Problem

_PROJECT = "praxis"


class Tracker(StrEnum):
    """Where figures can be sent."""

    tensorboard = "tensorboard"
    mlflow = "mlflow"
    swanlab = "swanlab"


TrackOption = Annotated[
    Tracker | None, typer.Option("--track", help="Send settings and figures there too, when all is measured.")
]


@dataclass(frozen=True, slots=True)
class Tracked:
    """What a tracker shows as one run: `figures` are of its rounds, in turn; of what has no rounds there is one."""

    title: str
    settings: Mapping[str, Any]
    figures: Sequence[Mapping[str, float]]

    @classmethod
    def of(cls, title: str, settings: Mapping[str, Any], *rounds: Mapping[str, Any]) -> Tracked:
        """With every number that is somewhere in a round, by its name or its path of names."""
        return cls(title, dict(_leaves(settings)), [dict(_numbers(each)) for each in rounds])


def must_be_there(tracker: Tracker | None) -> None:
    """Raises ConfigError, which says what to install, where the client of `tracker` is missing."""
    if tracker is not None and find_spec(tracker.value) is None:
        advice = f"`{tracker}` is not installed; install it with `pip install {tracker}` beside Praxis"
        raise ConfigError("--track", [Problem(None, "", advice)])


def track(tracker: Tracker | None, runs: Sequence[Tracked], folder: Path) -> None:
    """Send `runs` to the tracker, if there is one; what it keeps as files goes below `folder`."""
    if tracker is None:
        return
    for run in runs:
        _CLIENTS[tracker](run, folder)
    typer.echo(f"{tracker} has {len(runs)} more runs.", err=True)


def _tensorboard(run: Tracked, folder: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / "tensorboard" / _plain(run.title))) as writer:
        writer.add_text("settings", f"```\n{json.dumps(run.settings, ensure_ascii=False, indent=2)}\n```")
        for step, figures in enumerate(run.figures):
            for name, value in figures.items():
                writer.add_scalar(_plain(name), value, step)


def _mlflow(run: Tracked, folder: Path) -> None:
    import mlflow

    if "MLFLOW_TRACKING_URI" not in os.environ:
        folder.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(f"sqlite:///{(folder / 'mlflow.db').resolve()}")
    mlflow.set_experiment(_PROJECT)
    with mlflow.start_run(run_name=run.title):
        mlflow.log_params(run.settings)
        for step, figures in enumerate(run.figures):
            mlflow.log_metrics({_plain(name): value for name, value in figures.items()}, step=step)


def _swanlab(run: Tracked, folder: Path) -> None:
    import swanlab

    # Files alone: nothing is sent unless the user asks for it, and no dashboard is needed to write them.
    mode = os.environ.get("SWANLAB_MODE", "offline")
    logs = folder / "swanlab"
    logs.mkdir(parents=True, exist_ok=True)
    swanlab.init(
        project=_PROJECT, experiment_name=run.title, config=dict(run.settings), logdir=str(logs), mode=mode
    )
    for step, figures in enumerate(run.figures):
        swanlab.log(dict(figures), step=step)
    swanlab.finish()


_CLIENTS: Mapping[Tracker, Callable[[Tracked, Path], None]] = {
    Tracker.tensorboard: _tensorboard,
    Tracker.mlflow: _mlflow,
    Tracker.swanlab: _swanlab,
}


def _plain(name: str) -> str:
    """`name` with nothing in it that a tracker refuses."""
    return re.sub(r"[^\w\-. ]", "_", name)


def _leaves(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{name}.")
        elif value is not None:
            yield path + name, value


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in _leaves(values):
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)
