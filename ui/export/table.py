"""A report as CSV: a row for each answer."""

from __future__ import annotations

from praxis.i18n import Locale
from ui.export.report import Report, Source
from ui.spreadsheet import csv_file

COLUMNS = ("number", "question", "answer", "text", "settings", "figures", "notes", "sources", "verdict")


def csv_of(report: Report, locale: Locale) -> bytes:
    """The report as a file for spreadsheets."""
    rows = (
        (
            number,
            entry.question,
            answer.heading,
            answer.text,
            answer.settings,
            answer.figures,
            "\n".join(answer.notes),
            "\n".join(map(_line, answer.sources)),
            entry.verdict,
        )
        for number, entry in enumerate(report.entries, start=1)
        for answer in entry.answers
    )
    return csv_file([locale.t(f"export.column.{name}") for name in COLUMNS], rows)


def _line(source: Source) -> str:
    return f"[{source.marker}] {source.name} ({', '.join(source.facts)}): {source.quote}"
