"""The command `praxis bench retrieval`. Heavy imports stay inside the command."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.options import GATEWAY, FormatOption, JsonOption, PatienceOption, UrlOption
from bench.results import publish, runs_folder, writable, write_result
from bench.trackers import Tracked, TrackOption, must_be_there, track
from praxis.errors import PraxisError, UpstreamError
from praxis.tables import Format

if TYPE_CHECKING:
    from bench.endpoint import Gateway
    from bench.retrieval.measure import Plan


def bench_retrieval(
    knowledge: Annotated[str, typer.Argument(help="The knowledge base's name or id.")],
    questions: Annotated[
        Path, typer.Option(help='JSONL: {"id", "query", "gold": [{"law", "article"}]} in each line.')
    ],
    url: UrlOption = GATEWAY,
    limit: Annotated[int, typer.Option(min=1, max=50, help="Passages that each search asks for.")] = 10,
    at: Annotated[str, typer.Option(help="The k of hit@k and recall@k, with commas.")] = "1,3,5,10",
    sample: Annotated[
        int | None, typer.Option(min=1, help="Only this many questions, drawn by --seed.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample and of the bootstrap.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Searches under way at once.")] = 1,
    check_gold: Annotated[
        bool, typer.Option("--check-gold", help="Name the gold articles that the knowledge base lacks.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for one search.")] = 60.0,
    patience: PatienceOption = 30.0,
    misses: Annotated[
        Path | None, typer.Option(help="Write the questions whose articles were not found here, as Markdown.")
    ] = None,
    file: JsonOption = None,
    tracker: TrackOption = None,
    form: FormatOption = Format.table,
) -> None:
    """Measure whether a knowledge base finds the articles that answer questions: hit@k, recall@k, MRR, nDCG, latency.

    Each metric comes with its 95 % bootstrap interval. A search that fails is counted and in no mean.
    """
    from bench.endpoint import Gateway
    from bench.retrieval.measure import Plan
    from bench.retrieval.questions import drawn, read
    from bench.retrieval.report import misses_of, table

    for option, path in (("--json", file), ("--misses", misses)):
        writable(option, path)
    must_be_there(tracker)
    asked = drawn(read(questions), sample, seed)
    plan = Plan(questions, asked, limit, _cutoffs(at), concurrency, seed, check_gold)
    gateway = Gateway.from_environment(url, timeout=timeout, patience=patience, connections=concurrency)
    result = _carry_out(gateway, knowledge, plan)
    publish(result, table(result), form, file)
    if misses is not None:
        write_result("--misses", misses, misses_of(result))
    _say(result)
    title = f"retrieval {knowledge} {result['date']}"
    track(tracker, [Tracked.of(title, result["settings"], _means(result))], runs_folder())


def _means(result: dict[str, Any]) -> dict[str, Any]:
    return {"latency_ms": result["latency_ms"], **result["metrics"]}


def _carry_out(gateway: Gateway, knowledge: str, plan: Plan) -> dict[str, Any]:
    """The result. Raises PraxisError where nothing can be asked, or the run is stopped."""
    from bench.endpoint import Failure
    from bench.progress import bars
    from bench.retrieval.measure import measure

    async def run() -> dict[str, Any]:
        async with gateway:
            with bars("questions") as report:
                return await measure(
                    gateway,
                    knowledge,
                    plan,
                    lambda done, total, failed: report("search", done, total, failed),
                )

    try:
        return asyncio.run(run())
    except Failure as failure:
        advice = "Start it with `praxis up`, or give its `--url`; its key is read from PRAXIS_API_KEY."
        raise UpstreamError(
            f"The gateway does not answer for its knowledge bases: {failure.message} {advice}"
        ) from None
    except KeyboardInterrupt:
        raise PraxisError("Stopped; nothing was measured.") from None


def _say(result: dict[str, Any]) -> None:
    """What must be known before the figures are believed. Raises PraxisError where no search was answered."""
    failed = result["questions"] - result["answered"]
    if failed:
        kinds = ", ".join(f"{kind} {count}" for kind, count in result["errors"].items())
        typer.echo(
            f"{failed} of {result['questions']} searches failed and are in no mean: {kinds}.", err=True
        )
    missing = result["missing_gold"]
    if missing:
        typer.echo(
            f"{len(missing)} gold articles are not in the knowledge base: {', '.join(missing)}.", err=True
        )
    if not result["answered"]:
        raise PraxisError("No search was answered; the reasons stand above.")


def _cutoffs(text: str) -> list[int]:
    try:
        numbers = sorted({int(part) for part in text.split(",")})
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 1:
        raise typer.BadParameter(f"`--at {text}` is no list of numbers from 1; give one such as 1,3,5,10.")
    return numbers
