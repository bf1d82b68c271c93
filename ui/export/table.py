"""A report as tables: a row for each answer, and what a judge said of the question."""

from __future__ import annotations

from collections.abc import Iterator

from praxis.i18n import Locale
from ui.export.report import Report, Source
from ui.spreadsheet import csv_file

COLUMNS = (
    "number",
    "question",
    "answer",
    "text",
    "settings",
    "figures",
    "notes",
    "sources",
    "pictures",
    "verdict",
)


def csv_of(report: Report, locale: Locale) -> bytes:
    """The report as a file for spreadsheets."""
    return csv_file(heads(report, locale), rows(report))


def heads(report: Report, locale: Locale) -> list[str]:
    """What the columns are called; where there is a comparison, each of its items has one."""
    named = [locale.t(f"export.column.{name}") for name in COLUMNS]
    return named + [locale.t("export.column.judged", item=item) for item in report.items]


def rows(report: Report) -> Iterator[tuple[str | int, ...]]:
    """A row for each answer."""
    for entry in report.entries:
        said = {each.name: " — ".join(filter(None, (each.told, each.reason))) for each in entry.remarks}
        for answer in entry.answers:
            yield (
                entry.number,
                entry.question,
                answer.heading,
                answer.text,
                answer.settings,
                answer.figures,
                "\n".join(answer.notes),
                "\n".join(map(_line, answer.sources)),
                entry.attached,
                entry.verdict,
                *(said.get(item, "") for item in report.items),
            )


def _line(source: Source) -> str:
    return f"[{source.marker}] {source.name} ({', '.join(source.facts)}): {source.quote}"
