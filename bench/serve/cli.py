"""The command `praxis bench serve`. Heavy imports stay inside the command."""

from __future__ import annotations

import asyncio
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bench.options import GATEWAY, AnswerTimeoutOption, FormatOption, JsonOption, TargetsOption
from bench.results import publish, runs_folder, writable
from bench.serve import options
from bench.trackers import Tracked, TrackOption, must_be_there, track
from praxis.errors import ConfigError, PraxisError, Problem
from praxis.tables import Format

if TYPE_CHECKING:
    from bench.eval.rows import Example
    from bench.serve.measure import Load, Plan


def bench_serve(
    model: TargetsOption,
    url: options.UrlOption = GATEWAY,
    rate: options.RateOption = None,
    concurrency: options.ClientsOption = None,
    max_concurrency: options.PlacesOption = None,
    burstiness: options.BurstinessOption = 1.0,
    num_prompts: options.NumPromptsOption = 100,
    input_len: options.InputLenOption = 512,
    output_len: options.OutputLenOption = 128,
    ignore_eos: options.IgnoreEosOption = False,
    dataset: options.RowsOption = None,
    dataset_dir: options.RowsDirOption = None,
    temperature: options.TemperatureOption = 0.0,
    rounds: options.RoundsOption = 1,
    warm_up: options.WarmUpOption = 2,
    goodput: options.GoodputOption = None,
    percentiles: options.PercentilesOption = "50,90,95,99",
    seed: options.SeedOption = 0,
    timeout: AnswerTimeoutOption = 600.0,
    file: JsonOption = None,
    tracker: TrackOption = None,
    form: FormatOption = Format.table,
) -> None:
    """Measure speed as a user feels it: TTFT, TPOT, ITL, end to end, throughput, goodput, errors, under set loads.

    Figures have the names of vLLM's own `bench serve`. In an open loop requests leave on a schedule made beforehand,
    whatever the server does. Exit code 1 where no request at all was answered.
    """
    from bench.serve.measure import Plan

    writable("--json", file)
    must_be_there(tracker)
    loads = _loads(rate, concurrency, max_concurrency)
    shares, bounds = _numbers("--percentiles", percentiles), _slos(goodput or [])
    rows = _rows(dataset, dataset_dir)
    more = {"temperature": temperature} | ({"ignore_eos": True} if ignore_eos else {})
    targets = list(dict.fromkeys(model))
    plan = Plan(_root(url), targets, loads, num_prompts, output_len, rows, input_len, burstiness, rounds, warm_up,
                seed, timeout, shares, bounds, more)  # fmt: skip
    result = _carry_out(plan)
    _tell(result, form, file)
    track(tracker, _tracked(result), runs_folder())


def _tell(result: dict[str, Any], form: Format, file: Path | None) -> None:
    """Print and keep the result, and say what must be known of it. Raises PraxisError where nothing was answered."""
    from bench.serve.report import notes, table

    publish(result, table(result), form, file)
    for note in notes(result):
        typer.echo(note, err=True)
    if not any(each["completed"] for run in result["runs"] for each in run["rounds"]):
        raise PraxisError("No request was answered; the reasons stand above.")


def _tracked(result: dict[str, Any]) -> list[Tracked]:
    settings = {name: value for name, value in result.items() if name != "runs"}
    return [
        Tracked.of(f"serve {result['date']} {run['model_id']} {run['load']}", settings, *run["rounds"])
        for run in result["runs"]
    ]


def _carry_out(plan: Plan) -> dict[str, Any]:
    import uvloop

    from bench.progress import bars
    from bench.serve.measure import measure

    try:
        with bars("requests") as report:
            return uvloop.run(measure(plan, os.environ.get("PRAXIS_API_KEY", "").strip() or None, report))
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise PraxisError("Stopped; nothing was measured.") from None


def _root(url: str) -> str:
    root = url.rstrip("/").removesuffix("/v1")
    if not root.startswith(("http://", "https://")):
        raise ConfigError(
            "--url", [Problem(None, "", f"`{url}` is no URL; give one such as http://127.0.0.1:8080")]
        )
    return root


def _loads(rate: str | None, concurrency: str | None, cap: int | None) -> list[Load]:
    from bench.serve.measure import Load

    if rate and concurrency:
        raise typer.BadParameter(
            "`--rate` is an open loop and `--concurrency` a closed one; give one of them."
        )
    if rate:
        return [Load(each, cap) for each in _numbers("--rate", rate)]
    if cap is not None:
        raise typer.BadParameter("`--max-concurrency` caps an open loop; give `--rate` too.")
    places = _numbers("--concurrency", concurrency or "8")
    if any(each != int(each) for each in places):
        raise typer.BadParameter(f"`--concurrency {concurrency}` has a number of clients that is none.")
    return [Load(None, int(each)) for each in places]


def _numbers(option: str, text: str) -> list[float]:
    try:
        numbers = list(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        numbers = []
    infinite = any(math.isinf(each) for each in numbers) and option != "--rate"
    if not numbers or not all(each > 0 for each in numbers) or infinite:
        raise typer.BadParameter(f"`{option} {text}` is no list of numbers above 0; give one such as 1,2,4.")
    if option == "--percentiles" and max(numbers) > 100:
        raise typer.BadParameter(f"`{option} {text}`: there is no percentile above 100.")
    return numbers


def _slos(texts: list[str]) -> dict[str, float]:
    from bench.serve.figures import SLOS

    found = {}
    for text in texts:
        name, _, bound = text.partition(":")
        try:
            found[name] = float(bound)
        except ValueError:
            found[name] = -1.0
        if name not in SLOS or not found[name] > 0:
            raise typer.BadParameter(
                f"`--goodput {text}` is no bound; give one such as ttft:500, of {', '.join(SLOS)}, in ms."
            )
    return found


def _rows(dataset: str | None, folder: Path | None) -> list[Example]:
    from bench.eval.datasets import load

    if dataset is None:
        return []
    if folder is None:
        raise typer.BadParameter(
            "`--dataset` needs `--dataset-dir`, the folder that holds its dataset_info.json."
        )
    data = load(dataset, folder)
    if not data.examples:
        raise ConfigError(str(data.path), data.bad[:20])
    return data.examples
