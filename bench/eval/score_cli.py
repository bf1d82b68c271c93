"""The commands `praxis eval score` and `praxis eval compare`. Heavy imports stay inside the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.options import BootstrapSeedOption, FormatOption, ThinkingOption
from praxis.errors import ConfigError, Problem
from praxis.tables import Format, render

if TYPE_CHECKING:
    from bench.eval.compare import Comparison

_EXCERPT = 160
"""Characters of a text in the rows that differ most; `--format json` has all of them."""


def eval_score(
    predictions: Annotated[Path, typer.Argument(help="JSONL with `predict` and `label` in each line.")],
    unanswerable: Annotated[
        Path | None,
        typer.Option(help="Predictions of the same target on questions that the documents do not answer."),
    ] = None,
    remove_thinking: ThinkingOption = False,
    seed: BootstrapSeedOption = 0,
    form: FormatOption = Format.json,
) -> None:
    """Score a predictions file, LLaMA-Factory's or our own: BLEU-4 and ROUGE-1/2/L under its names, with intervals.

    chrF and exact match stand beside. Where answers say what they rest on, grounding is counted too: answers with
    citations, citations whose quote supports the sentence, articles that exist, and abstention.
    """
    from bench.eval.predictions import read
    from bench.eval.scores import flat, score, similarities
    from bench.eval.similarity import Scorer

    rows = read(predictions)
    if not rows:
        raise ConfigError(str(predictions), [Problem(None, "", "it has no lines; there is nothing to score")])
    outside = read(unanswerable) if unanswerable is not None else []
    scored = similarities(rows, Scorer(), remove_thinking=remove_thinking)
    scores = score(scored, seed=seed, unanswerable=outside)
    if form is Format.json:
        typer.echo(json.dumps(scores, ensure_ascii=False, indent=4))
    else:
        typer.echo(render([flat(scores)], form))
    if scores["errors"]:
        typer.echo(
            f"{sum(scores['errors'].values())} of {scores['rows']} rows have no answer and are in no mean.",
            err=True,
        )


def eval_compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, or predictions files.")],
    against: Annotated[
        str | None, typer.Option(help="The target to compare the others with [default: the first].")
    ] = None,
    by: Annotated[str, typer.Option(help="The metric that says where targets differ most.")] = "rouge-l",
    rows: Annotated[int, typer.Option(min=0, help="How many of those rows to show.")] = 5,
    remove_thinking: ThinkingOption = False,
    seed: BootstrapSeedOption = 0,
    form: FormatOption = Format.table,
) -> None:
    """Which target is better, metric by metric with its interval, paired by row; and where they differ most."""
    from bench.eval.compare import Wish, compare, entries
    from bench.eval.similarity import METRICS, Scorer

    if by not in METRICS:
        raise typer.BadParameter(f"`--by {by}` is no metric; there are {', '.join(METRICS)}.")
    print_comparison(compare(entries(runs), Scorer(), Wish(against, rows, by, seed, remove_thinking)), form)


def print_comparison(comparison: Comparison, form: Format) -> None:
    """The tables of a comparison and the rows in which its targets differ; what keeps it from being whole on stderr."""
    if form is Format.json:
        typer.echo(json.dumps(_record(comparison), ensure_ascii=False, indent=2))
        return
    typer.echo(render(comparison.table, form))
    if comparison.note:
        typer.echo(f"Note: {comparison.note}.", err=True)
    for table in (comparison.paired, comparison.differences):
        if table and form is not Format.csv:
            typer.echo("\n" + render(table, form))
    if form is not Format.csv:
        for row in comparison.rows:
            typer.echo("\n" + _row(row))


def _record(comparison: Comparison) -> dict[str, Any]:
    return {
        "targets": comparison.table,
        "paired": comparison.paired,
        "differences": comparison.differences,
        "rows": comparison.rows,
        "note": comparison.note,
    }


def _row(row: dict[str, Any]) -> str:
    """A row in which targets differ, to read."""
    lines = [f"Row {row['id']}: {_short(row['prompt'])}", f"  label: {_short(row['label'])}"]
    lines += [
        f"  {target} ({row['metric']} {row['scores'][target]:.2f}): {_short(text)}"
        for target, text in row["predictions"].items()
    ]
    return "\n".join(lines)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _EXCERPT else line[:_EXCERPT] + "…"
