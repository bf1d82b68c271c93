"""The commands `praxis eval report` and `praxis bench report`. Heavy imports stay inside the commands."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.results import writable, write_result
from praxis.errors import PraxisError

if TYPE_CHECKING:
    from bench.report.page import Page


class LanguageName(StrEnum):
    """The language of a report."""

    zh = "zh"
    en = "en"


LanguageOption = Annotated[LanguageName, typer.Option("--language", help="Of the report.")]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="The HTML file; plots go beside it [default: beside what is reported]."),
]


def eval_report(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    out: OutOption = None,
    language: LanguageOption = LanguageName.zh,
    by: Annotated[str, typer.Option(help="The metric that says which rows are worst.")] = "rouge-l",
) -> None:
    """One HTML file of a run, which needs no network: scores, intervals, plots, differences, worst rows, settings."""
    from bench.eval.run import Run
    from bench.eval.similarity import METRICS
    from bench.report.quality import report

    if by not in METRICS:
        raise typer.BadParameter(f"`--by {by}` is no metric; there are {', '.join(METRICS)}.")
    file = out or run / "report.html"
    writable("--out", file)
    page, pictures = report(Run(run), language.value, metric=by)
    _write(file, page, pictures)


def bench_report(
    result: Annotated[
        Path, typer.Argument(help="What `praxis bench serve` or `retrieval` wrote as `--json`.")
    ],
    out: OutOption = None,
    language: LanguageOption = LanguageName.zh,
) -> None:
    """One HTML file of a result, which needs no network: figures, plots, misses, settings."""
    from bench.report.results import report

    file = out or result.with_suffix(".html")
    writable("--out", file)
    page, pictures = report(result, language.value)
    _write(file, page, pictures)


def _write(file: Path, page: Page, pictures: dict[str, bytes]) -> None:
    write_result("--out", file, page.html())
    for name, png in pictures.items():
        picture = file.with_name(f"{file.stem}-{name}.png")
        try:
            picture.write_bytes(png)
        except OSError as error:
            raise PraxisError(f"`{picture}` cannot be written: {error.strerror}.") from None
    typer.echo(str(file))
