"""One table in the formats that people and programs read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any


class Format(StrEnum):
    """How a table is printed."""

    table = "table"
    json = "json"
    csv = "csv"
    md = "md"


def render(rows: Sequence[Mapping[str, Any]], form: Format) -> str:
    """`rows` as text that ends without a newline; the keys of the first row are the columns."""
    if form is Format.json:
        return json.dumps(list(rows), ensure_ascii=False, indent=2)
    columns = list(rows[0]) if rows else []
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    if form is Format.csv:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([columns, *cells])
        return text.getvalue().rstrip("\n")
    if form is Format.md:
        lines = [columns, ["---"] * len(columns), *cells]
        return "\n".join(
            "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
        )
    return _boxed(columns, cells)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, Mapping):
        return " ".join(f"{key}:{count}" for key, count in value.items()) or "–"
    return str(value)


def _boxed(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for line in cells:
        table.add_row(*line)
    # Wide enough for every column: what a pipe or a narrow terminal cuts off is what one looked for.
    console = Console(file=io.StringIO(), width=240)
    with console.capture() as capture:
        console.print(table)
    return capture.get().rstrip("\n")
