"""The command `praxis bench gateway`. Heavy imports stay inside the command."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.results import writable, write_result
from praxis.errors import PraxisError
from praxis.tables import Format, render

if TYPE_CHECKING:
    from bench.load.plan import Plan


def bench_gateway(
    with_peers: Annotated[
        bool, typer.Option("--peers", help="Measure nginx, vllm-router and litellm too, where installed.")
    ] = False,
    subjects: Annotated[
        str | None, typer.Option(help="Measure just these, with commas, such as direct,praxis,nginx.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only this load: json, sse, paced, bodies or soak; repeat for more."),
    ] = None,
    clients: Annotated[
        str, typer.Option(help="Numbers of clients of json and sse, with commas.")
    ] = "1,32,256",
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of one measurement.")] = 2.0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, of which the medians are shown.")] = 5,
    attempts: Annotated[
        int, typer.Option(min=1, help="Measure again, up to so often, what other programs disturbed.")
    ] = 1,
    soak: Annotated[
        bool, typer.Option("--soak", help="See too whether the memory grows with the requests.")
    ] = False,
    soak_requests: Annotated[int, typer.Option(min=10, help="Requests of the soak.")] = 200_000,
    file: Annotated[Path | None, typer.Option("--json", help="Write every figure to this file too.")] = None,
    install_peers: Annotated[
        bool,
        typer.Option(
            "--install-peers", help="Make the environments of vllm-router and litellm; measure nothing."
        ),
    ] = False,
) -> None:
    """Measure what the gateway adds, beside other gateways: fake engines directly and through each, interleaved.

    The loads are JSON and streams of 64 events, streams at an engine's pace, and bodies of 128 KB. The last table
    holds the measured figures against the targets. Exit code 1 where requests to Praxis failed.
    """
    from bench.load.loads import NAMES, loads
    from bench.load.peers import install
    from bench.load.plan import Plan
    from bench.load.subjects import ALWAYS, SUBJECTS
    from praxis.up.progress import Progress

    if install_peers:
        install(Progress())
        return
    names = _chosen("--subjects", subjects.split(","), SUBJECTS) if subjects else []
    wanted = _chosen("--only", only or NAMES, (*NAMES, "soak"))
    plan = Plan(
        subjects=names or list(SUBJECTS if with_peers else ALWAYS),
        loads=list(loads([name for name in NAMES if name in wanted], _numbers(clients), seconds)),
        rounds=rounds,
        optional=not names,
        attempts=attempts,
        soak=soak_requests if soak or "soak" in wanted else 0,
    )
    _carry_out(plan, file)


def _chosen(option: str, names: Iterable[str], known: Collection[str]) -> list[str]:
    """The names, each once. Raises BadParameter for one that is unknown."""
    found = list(dict.fromkeys(name.strip() for name in names))
    for name in found:
        if name not in known:
            raise typer.BadParameter(f"`{option} {name}` is unknown; known are {', '.join(known)}.")
    return found


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise typer.BadParameter(
            f"`--clients {text}` is no list of numbers from 1; give one such as 1,32,256."
        )
    return numbers


def _carry_out(plan: Plan, file: Path | None) -> None:
    """Measure, write every figure to `file` where there is one, and print the tables.

    Raises PraxisError where requests to Praxis failed.
    """
    from bench.load.gateway import failure, measure
    from bench.load.processes import ends_with_its_processes
    from bench.progress import timed

    writable("--json", file)
    typer.echo(plan.describe(), err=True)
    with ends_with_its_processes(), timed(plan.estimate) as report:
        result = measure(plan, report)
    write_result("--json", file, result)
    _show(result)
    if reason := failure(result):
        raise PraxisError(reason)


def _show(result: dict[str, Any]) -> None:
    from bench.load.report import goals, latency, memory, notes, throughput

    titles = {
        "Requests or streams a second": throughput(result),
        "Times in ms": latency(result),
        "Resident memory": memory(result),
        "Targets (one process on one core)": goals(result),
    }
    for title, rows in titles.items():
        if rows:
            typer.echo(f"{title}\n{render(rows, Format.table)}\n")
    for note in notes(result):
        typer.echo(note)
