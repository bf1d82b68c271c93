"""The command `praxis bench serve`. Heavy imports stay inside the command."""

from __future__ import annotations

import asyncio
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.results import writable, write_result
from praxis.errors import ConfigError, PraxisError, Problem
from praxis.tables import Format, render

if TYPE_CHECKING:
    from bench.eval.rows import Example
    from bench.serve.measure import Load, Plan


def bench_serve(
    model: Annotated[list[str], typer.Option(help="A target: model, adapter or assistant; repeat for more.")],
    url: Annotated[
        str, typer.Option(help="Gateway or engine, without /v1; its key is read from PRAXIS_API_KEY.")
    ] = "http://127.0.0.1:8080",
    rate: Annotated[
        str | None,
        typer.Option(help="Open loop: requests a second, with commas for a sweep; inf: all at once."),
    ] = None,
    concurrency: Annotated[
        str | None, typer.Option(help="Closed loop: clients, with commas for a sweep [default: 8].")
    ] = None,
    max_concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="Open loop: at most so many under way; others wait, and it is counted."),
    ] = None,
    burstiness: Annotated[
        float, typer.Option(min=0.01, help="Shape of the gamma arrivals: 1 Poisson, less is burstier.")
    ] = 1.0,
    num_prompts: Annotated[int, typer.Option(min=1, help="Requests of one measurement.")] = 100,
    input_len: Annotated[
        int, typer.Option(min=1, help="Tokens of a prompt, where no data set is given.")
    ] = 512,
    output_len: Annotated[int, typer.Option(min=1, help="Most new tokens of an answer.")] = 128,
    ignore_eos: Annotated[
        bool, typer.Option("--ignore-eos", help="Engines of vLLM's kind: always write all the new tokens.")
    ] = False,
    dataset: Annotated[str | None, typer.Option(help="Ask the rows of this data set instead.")] = None,
    dataset_dir: Annotated[
        Path | None, typer.Option(help="A folder of data sets, as LLaMA-Factory keeps them.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0, help="Of every request.")] = 0.0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, of which the medians are shown.")] = 1,
    warm_up: Annotated[int, typer.Option(min=0, help="Requests to each target that count nowhere.")] = 2,
    goodput: Annotated[
        list[str] | None,
        typer.Option(help="A bound in ms such as ttft:500, tpot:50 or e2el:3000; repeat for more."),
    ] = None,
    percentiles: Annotated[str, typer.Option(help="Which to report, with commas.")] = "50,90,95,99",
    seed: Annotated[int, typer.Option(min=0, help="Of prompts and arrivals.")] = 0,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for one answer.")] = 600.0,
    file: Annotated[Path | None, typer.Option("--json", help="Write every figure to this file too.")] = None,
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.table,
) -> None:
    """Measure speed as a user feels it: TTFT, TPOT, ITL, end to end, throughput, goodput, errors, under set loads.

    Figures have the names of vLLM's own `bench serve`. In an open loop requests leave on a schedule made beforehand,
    whatever the server does. Exit code 1 where no request at all was answered.
    """
    from bench.serve.measure import Plan
    from bench.serve.report import notes, table

    writable("--json", file)
    plan = Plan(
        _root(url),
        list(dict.fromkeys(model)),
        _loads(rate, concurrency, max_concurrency),
        num_prompts,
        output_len,
        _rows(dataset, dataset_dir),
        input_len,
        burstiness,
        rounds,
        warm_up,
        seed,
        timeout,
        _numbers("--percentiles", percentiles),
        _slos(goodput or []),
        {"temperature": temperature} | ({"ignore_eos": True} if ignore_eos else {}),
    )
    result = _carry_out(plan)
    # Printed first: what was measured is not lost where a disk is full.
    if form is Format.json:
        typer.echo(json.dumps(result, ensure_ascii=False, indent=1))
    else:
        typer.echo(render(table(result), form))
    write_result("--json", file, result)
    for note in notes(result):
        typer.echo(note, err=True)
    if not any(each["completed"] for run in result["runs"] for each in run["rounds"]):
        raise PraxisError("No request was answered; the reasons stand above.")


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
