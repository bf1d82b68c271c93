"""Which checkpoint of a training run to serve: the one with the least `eval_loss`, else the last."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIG = "adapter_config.json"

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_STATE = "trainer_state.json"
_STATE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Choice:
    """The PEFT folder to serve. `name` is its name below the folder that was given, empty when it is that folder
    itself; `why` is a sentence, empty when there was nothing to choose."""

    folder: Path
    name: str = ""
    why: str = ""


def choose(folder: Path) -> Choice:
    """The adapter to take of `folder`: a PEFT folder, or the `output_dir` of a run of LLaMA-Factory or transformers.

    What the trainer's state says of paths is of the machine that trained: only their last parts are looked at.
    """
    checkpoints = {
        int(match[1]): path
        for path in folder.iterdir()
        if (match := _CHECKPOINT.fullmatch(path.name)) and (path / CONFIG).is_file()
    }
    finished = (folder / CONFIG).is_file()
    if not checkpoints:
        return Choice(folder)
    last = checkpoints[max(checkpoints)]
    state = _state(folder / _STATE) or _state(last / _STATE)
    candidates = dict(checkpoints)
    final = state.get("global_step")
    if finished and isinstance(final, int):
        candidates.setdefault(final, folder)
    if chosen := _least_loss(_losses(state), candidates, folder):
        return chosen
    best = Path(str(state.get("best_model_checkpoint") or "").replace("\\", "/")).name
    for path in checkpoints.values():
        if path.name == best:
            why = f"the trainer's state calls `{best}` the best, and gives no `eval_loss` of any checkpoint"
            return _chosen(path, folder, why)
    none = "the trainer's state has no `eval_loss` of any checkpoint"
    if finished:
        return _chosen(folder, folder, f"{none}, so it is what training ended with")
    return _chosen(last, folder, f"{none}, so it is the last one, `{last.name}`")


def _chosen(path: Path, folder: Path, why: str) -> Choice:
    return Choice(path, "" if path == folder else path.name, why)


def _least_loss(losses: dict[int, float], candidates: dict[int, Path], folder: Path) -> Choice | None:
    known = sorted((losses[step], step) for step in candidates if step in losses)
    if not known:
        return None
    loss, step = known[0]
    path = candidates[step]
    name = "what training ended with" if path == folder else f"`{path.name}`"
    why = f"{name} has the least `eval_loss`, {loss:.4g}"
    if others := [f"{other:.4g} at step {at}" for other, at in known[1:4]]:
        why += f" (then {', '.join(others)})"
    lost = sorted((losses[at], at) for at in losses if at not in candidates and losses[at] < loss)
    if lost:
        why += f"; step {lost[0][1]} had {lost[0][0]:.4g}, but no checkpoint of it is left"
    return _chosen(path, folder, why)


def _losses(state: dict[str, Any]) -> dict[int, float]:
    """The `eval_loss` of each step at which one was measured."""
    history = state.get("log_history")
    return {
        entry["step"]: float(entry["eval_loss"])
        for entry in (history if isinstance(history, list) else ())
        if isinstance(entry, dict)
        and isinstance(entry.get("step"), int)
        and isinstance(entry.get("eval_loss"), int | float)
        and math.isfinite(entry["eval_loss"])
    }


def _state(path: Path) -> dict[str, Any]:
    """The trainer's state, or nothing where there is none that can be read: it only helps to choose."""
    try:
        if path.stat().st_size > _STATE_BYTES:
            return {}
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return state if isinstance(state, dict) else {}
