"""The show: train an adapter here, serve it beside its base, its merged model and a grounded assistant, and measure all.

    python -m bench.showcase --rows 24

What it leaves in `.praxis/show` (adapter, merged model, runs, reports) is taken up again when it is called again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.eval.compare import Wish, compare, entries
from bench.eval.datasets import load
from bench.eval.rows import Example
from bench.eval.scores import score, similarities
from bench.eval.similarity import METRICS, Scorer
from bench.load.processes import ends_with_its_processes
from bench.progress import bars
from bench.showcase.finetune import Training, finetune
from bench.showcase.stage import TARGETS, Stage
from praxis.errors import PraxisError
from praxis.exits import exit_codes
from praxis.tables import Format, render
from praxis.up.progress import Progress

_JUDGED_BY = "rouge-l"


def show(
    dataset_dir: Annotated[Path, typer.Option(help="The data sets, as LLaMA-Factory keeps them.")] = Path(
        "tests/data/eval/datasets"
    ),
    datasets: Annotated[
        str, typer.Option(help="Which of them, with commas.")
    ] = "legal_alpaca,medical_alpaca",
    rows: Annotated[
        int, typer.Option(min=2, help="Rows of each that are asked; training uses the others.")
    ] = 8,
    steps: Annotated[int, typer.Option(min=1, help="Steps of training, one row each.")] = 60,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 160,
    folder: Annotated[Path | None, typer.Option(help="Where it all goes [default: .praxis/show].")] = None,
) -> None:
    """Base, adapter, merged model and grounded assistant on legal and medical data: a table with intervals, and reports."""
    home = Path(os.environ.get("PRAXIS_HOME") or ".praxis")
    stage = Stage(folder or home / "show", home)
    names = datasets.split(",")
    with Progress(sys.stderr).step("Weights") as report:
        base = stage.weights(report)
    if not stage.adapter.exists():
        shutil.rmtree(stage.merged, ignore_errors=True)
        _train(base, [row for name in names for row in load(name, dataset_dir).examples[rows:]], stage, steps)
    if not stage.merged.exists():
        _run(stage.merge(base))
    with ends_with_its_processes(), stage.running() as url:
        for name in names:
            _ask(name, dataset_dir, stage.folder / name, url, rows, max_new_tokens)
    table = [row for name in names for row in _table(name, stage.folder / name)]
    typer.echo(render(table, Format.md))
    for name in names:
        _run([sys.executable, "-m", "praxis", "eval", "report", str(stage.folder / name)])


def _train(base: Path, rows: list[Example], stage: Stage, steps: int) -> None:
    losses: list[float] = []
    with bars("steps") as report:

        def told(step: int, loss: float) -> None:
            losses.append(loss)
            report("training", step, steps, 0)

        finetune(base, rows, stage.adapter, Training(steps), told)
    typer.echo(f"The loss went from {losses[0]:.2f} to {losses[-1]:.2f}.", err=True)


def _ask(name: str, dataset_dir: Path, out: Path, url: str, rows: int, max_new_tokens: int) -> None:
    """One run of `praxis eval`, or the end of one that was stopped."""
    targets = [word for target in TARGETS for word in ("--model", target)]
    resume = ["--resume"] if (out / "run.json").exists() else []
    _run([sys.executable, "-m", "praxis", "eval", "run", *targets, "--dataset", name, "--dataset-dir",
          str(dataset_dir), "--max-samples", str(rows), "--temperature", "0", "--seed", "0", "--max-new-tokens",
          str(max_new_tokens), "--url", url, "--out", str(out), *resume])  # fmt: skip


def _table(name: str, run: Path) -> list[dict[str, Any]]:
    """A line for each target: scores with their intervals, and whether it is better than the base, paired by row."""
    found, scorer = entries([run]), Scorer()
    verdicts = {
        each["target"]: each["verdict"]
        for each in compare(found, scorer, Wish(metric=_JUDGED_BY, rows=0)).differences
        if each["metric"] == _JUDGED_BY
    }
    lines = []
    for entry in found:
        scores = score(similarities(entry.predictions, scorer))
        line: dict[str, Any] = {"data": name, "target": entry.name}
        for metric in METRICS[:4]:
            ends = scores["intervals"].get(f"predict_{metric}")
            line[metric] = f"{ends['mean']:.1f} [{ends['low']:.1f}, {ends['high']:.1f}]" if ends else "–"
        cited = (scores["grounding"] or {}).get("cited")
        line |= {"answered": f"{scores['scored']}/{scores['rows']}"}
        line |= {"cited": f"{cited['mean']:.0%}" if cited else "–"}
        lines.append(line | {f"{_JUDGED_BY} against the base": verdicts.get(entry.name, "–")})
    return lines


def _run(command: list[str]) -> None:
    """A command of Praxis, whose output is the user's. Raises PraxisError where it fails."""
    if subprocess.run(command, check=False).returncode:
        raise PraxisError(f"`praxis {' '.join(command[3:5])}` failed; the reason stands above.")


if __name__ == "__main__":
    with exit_codes():
        typer.run(show)
