"""A report as a workbook: the memo first, where there is one, and then a row for each answer."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Alignment, Font
from openpyxl.utils import get_column_letter

from praxis.i18n import Locale
from ui.export.report import Report
from ui.export.table import heads, rows
from ui.memo import Memo, cells
from ui.memo import heads as memo_heads
from ui.spreadsheet import FORMULA

LONGEST = 32_767  # characters that a cell takes; Excel calls a file with more of them damaged
WIDTHS = (8, 40, 24, 80, 32, 24, 32, 48, 24, 24)
MEMO_WIDTHS = (30, 16, 16, 16, 16, 24, 32)
REMARK = 40
# What XML cannot hold, and a model may write.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")

Row = Sequence[str | int]


def xlsx_of(report: Report, locale: Locale) -> bytes:
    """The report as an XLSX file. Nothing in it is computed: what begins like a formula is text."""
    book = Workbook(write_only=True)
    if report.memo:
        _sheet(book, locale.t("export.sheet.memo"), MEMO_WIDTHS, _memo(report.memo, locale))
    named = heads(report, locale)
    widths = [*WIDTHS, *(REMARK for _ in named[len(WIDTHS) :])]
    _sheet(book, locale.t("export.sheet.answers"), widths, rows(report), named)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def _sheet(
    book: Any, title: str, widths: Sequence[int], content: Iterable[Row], named: Row | None = None
) -> None:
    """A sheet of `content`, below the heads of its columns where they are `named`."""
    sheet = book.create_sheet(title)
    for place, width in enumerate(widths, start=1):
        sheet.column_dimensions[get_column_letter(place)].width = width
    if named:
        sheet.freeze_panes = "A2"
        sheet.append([_cell(sheet, value, bold=True) for value in named])
    for row in content:
        # A line that is alone in its row runs on over the empty cells beside it.
        sheet.append([_cell(sheet, value, wrap=len(row) > 1) for value in row])


def _cell(sheet: Any, value: str | int, *, bold: bool = False, wrap: bool = True) -> Any:
    text = _CONTROL.sub("", value)[:LONGEST] if isinstance(value, str) else value
    cell = WriteOnlyCell(sheet, text)
    if isinstance(text, str):
        cell.data_type = "s"  # the library takes what begins with = for a formula
        cell.quotePrefix = text.startswith(FORMULA)  # so does Excel when the cell is edited
    cell.alignment = Alignment(wrap_text=wrap, vertical="top")
    if bold:
        cell.font = Font(bold=True)
    return cell


def _memo(memo: Memo, locale: Locale) -> Iterator[Row]:
    yield (memo.title,)
    yield from memo.facts
    yield from ((each,) for each in memo.summary)
    yield ()
    yield memo_heads(memo, locale)
    for line in memo.lines:
        yield (line.name, line.first, line.ties, line.second, line.open, *cells(line, locale)[-2:])
    for heading, examples in memo.examples:
        yield ()
        yield (heading,)
        for example in examples:
            yield (f"{example.number} · {example.question}",)
            yield from ((f"{each.name} · {each.told}: {each.reason}",) for each in example.remarks)
    yield ()
    yield (locale.t("comparison.doubts"),)
    yield from ((each,) for each in memo.doubts)
