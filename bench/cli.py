"""What this room adds to `praxis …`: `praxis eval`, `praxis bench` and `praxis adapters compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.eval.cli import evaluate
from bench.eval.revisions_cli import compare_revisions
from bench.load.cli import bench_gateway
from bench.report.cli import bench_report, eval_report
from bench.retrieval.cli import bench_retrieval
from bench.serve.cli import bench_serve
from praxis.errors import PraxisError
from praxis.groups import adapters
from praxis.tables import Format, render

__all__ = ["bench", "evaluate"]

bench = typer.Typer(
    help="Speed and retrieval: load engines and gateway, search knowledge bases, compare the figures.",
    no_args_is_help=True,
)
bench.command("gateway")(bench_gateway)
bench.command("retrieval")(bench_retrieval)
bench.command("serve")(bench_serve)
bench.command("report")(bench_report)
evaluate.command("report")(eval_report)
adapters.command("compare")(compare_revisions)


@bench.command("compare")
def bench_compare(
    before: Annotated[Path, typer.Argument(help="An earlier result.")],
    after: Annotated[Path, typer.Argument(help="A later one, of the same benchmark.")],
    tolerance: Annotated[float, typer.Option(min=0, help="Share by which a figure may be worse.")] = 0.05,
    time_tolerance: Annotated[
        float, typer.Option(min=0, help="Share by which the times of serve and retrieval may be worse.")
    ] = 0.25,
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.table,
) -> None:
    """Compare two results that `praxis bench … --json` wrote; exit 1 on a regression beyond noise."""
    from bench.changes import Tolerance, compare

    changes = compare(before, after, Tolerance(tolerance, time_tolerance))
    typer.echo(render([each.row() for each in changes], form))
    worse = [each.name for each in changes if each.worse]
    if worse:
        raise PraxisError(f"Worse beyond noise: {'; '.join(worse)}.")
