"""The commands `praxis eval …`, of which `run` and `list` are here. Heavy imports stay inside the commands."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.eval.judge_cli import eval_judge
from bench.eval.score_cli import eval_compare, eval_score
from bench.options import (
    GATEWAY,
    AnswerTimeoutOption,
    ConcurrencyOption,
    DatasetDirOption,
    DatasetOption,
    FormatOption,
    MaxNewTokensOption,
    MaxSamplesOption,
    PatienceOption,
    ResumeOption,
    SamplingSeedOption,
    SkipOption,
    SystemOption,
    TargetsOption,
    TemperatureOption,
    ThinkingOption,
    UrlOption,
)
from bench.results import runs_folder
from bench.trackers import Tracked, TrackOption, must_be_there, track
from praxis.errors import ConfigError, PraxisError, Problem
from praxis.tables import Format, render

if TYPE_CHECKING:
    from bench.endpoint import Gateway
    from bench.eval.datasets import Dataset
    from bench.eval.run import Plan

evaluate = typer.Typer(
    help="Quality: ask models a data set, score the answers, compare them.", no_args_is_help=True
)
evaluate.command("score")(eval_score)
evaluate.command("compare")(eval_compare)
evaluate.command("judge")(eval_judge)

_LISTED = 20
"""How many wrong rows a message names; more would scroll the first ones away."""


@evaluate.command("run")
def eval_run(
    model: TargetsOption,
    dataset: DatasetOption,
    dataset_dir: DatasetDirOption,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run [default: .praxis/runs/DATASET-TIME].")
    ] = None,
    url: UrlOption = GATEWAY,
    max_samples: MaxSamplesOption = None,
    concurrency: ConcurrencyOption = 8,
    temperature: TemperatureOption = 0.95,
    top_p: Annotated[float, typer.Option(min=0, max=1, help="Share of probability to draw from.")] = 0.7,
    top_k: Annotated[
        int, typer.Option(help="Tokens to draw from; 0 sends none, for engines that refuse it.")
    ] = 50,
    max_new_tokens: MaxNewTokensOption = 1024,
    repetition_penalty: Annotated[float, typer.Option(min=0, help="Above 1: fewer repetitions.")] = 1.0,
    seed: SamplingSeedOption = None,
    default_system: SystemOption = None,
    timeout: AnswerTimeoutOption = 600.0,
    patience: PatienceOption = 30.0,
    skip_bad_rows: SkipOption = False,
    remove_thinking: ThinkingOption = False,
    resume: ResumeOption = False,
    tracker: TrackOption = None,
) -> None:
    """Ask every model every row, keep each answer as it comes, then score them as LLaMA-Factory does.

    The sampling options and their defaults are those of LLaMA-Factory's scripts/vllm_infer.py. The folder gets
    MODEL.jsonl (predictions) and MODEL.scores.json for each model, and run.json with the settings.
    """
    from bench.endpoint import Gateway
    from bench.eval.chat import Sampling
    from bench.eval.datasets import load
    from bench.eval.run import Plan

    began = time.monotonic()
    must_be_there(tracker)
    if resume and out is None:
        raise typer.BadParameter("`--resume` needs `--out`, the folder of the run to finish.")
    data = load(dataset, dataset_dir, max_samples=max_samples)
    check_rows(data, skip_bad_rows)
    sampling = Sampling(temperature, top_p, top_k, max_new_tokens, repetition_penalty, seed)
    plan = Plan(data, list(dict.fromkeys(model)), sampling, default_system, concurrency, remove_thinking)
    gateway = Gateway.from_environment(url, timeout=timeout, patience=patience, connections=concurrency)
    folder = out or runs_folder() / f"{dataset}-{time.strftime('%Y%m%d-%H%M%S')}"
    results = carry_out(plan, gateway, folder, resume=resume, began=began)
    typer.echo(render([_summary(each) for each in results], Format.table))
    typer.echo(f"Predictions and scores are in {folder}", err=True)
    must_be_whole(results, folder)
    track(tracker, _tracked(results, folder), runs_folder())


@evaluate.command("list")
def eval_list(
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Where runs are kept [default: .praxis/runs].")
    ] = None,
    form: FormatOption = Format.table,
) -> None:
    """List what is kept, oldest first: runs, and results that `praxis bench … --json` put into the same folder."""
    from bench.listing import listing

    place = folder or runs_folder()
    found = listing(place)
    if not found and form is not Format.json:
        typer.echo(f"No run is in {place}.")
        return
    typer.echo(render(found, form))


def _tracked(results: list[dict[str, Any]], folder: Path) -> list[Tracked]:
    from bench.eval.run import Run
    from bench.eval.scores import flat

    settings = Run(folder).record()
    return [Tracked.of(f"{folder.name} {each['target']}", settings, flat(each)) for each in results]


def check_rows(data: Dataset, skip: bool) -> None:
    """Refuse wrong rows, or name them on stderr where they are to be left out."""
    if skip and data.examples:
        for problem in data.bad:
            typer.echo(f"left out {problem}", err=True)
    elif data.bad:
        advice = "no row is left" if skip else "mend these rows, or leave them out with `--skip-bad-rows`"
        unnamed = len(data.bad) - _LISTED
        if unnamed > 0:
            advice = f"{unnamed} more rows are wrong; {advice}"
        raise ConfigError(str(data.path), [*data.bad[:_LISTED], Problem(None, "", advice)])


def carry_out(
    plan: Plan, gateway: Gateway, folder: Path, *, resume: bool, began: float
) -> list[dict[str, Any]]:
    """Ask all of the plan; the scores of each target. Raises PraxisError, which says how to finish, when it is stopped."""
    from bench.journal import finishable

    with finishable(folder, _how_to_finish(folder)):
        return asyncio.run(_ask(plan, gateway, folder, resume=resume, began=began))


async def _ask(
    plan: Plan, gateway: Gateway, folder: Path, *, resume: bool, began: float
) -> list[dict[str, Any]]:
    from bench.eval.run import Run
    from bench.progress import bars

    async with gateway:
        await gateway.check(plan.targets)
        run = Run.begin(folder, plan.record(gateway.url), resume=resume)
        with bars() as report:
            return await run.ask(plan, gateway, report, began=began)


def must_be_whole(results: list[dict[str, Any]], folder: Path) -> None:
    """Raise PraxisError where a target's answers, or all of them, are missing."""
    lost = next((each["stopped"] for each in results if each["stopped"]), None)
    if lost:
        raise PraxisError(f"Stopped early: {lost} {_how_to_finish(folder)}")
    if not all(each["scored"] for each in results):
        raise PraxisError("A target answered no row at all; its `.jsonl` says why, row by row.")


def _summary(scores: dict[str, Any]) -> dict[str, Any]:
    from bench.eval.similarity import METRICS

    return {
        "target": scores["target"],
        **{metric: scores[f"predict_{metric}"] for metric in METRICS},
        **{count: scores[count] for count in ("rows", "scored", "errors", "truncated", "missing")},
        "samples/s": scores["predict_samples_per_second"],
    }


def _how_to_finish(folder: Path) -> str:
    return f"What is answered is kept; finish with the same command and `--out {folder} --resume`."
