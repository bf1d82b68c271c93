"""Questions read from a spreadsheet that somebody uploads: CSV or XLSX, whatever it may really be.

What a file says of itself is not believed: an XLSX file is measured before it is unpacked, nothing in it is computed,
and no more of it is read than a batch may have. It is unpacked in a process of its own, `python questions.py MEMORY SECONDS`
from standard input to standard output, which ends itself when it takes more than it is given.
"""

from __future__ import annotations

import csv
import io
import json
import re
import resource
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice

FILE_LIMIT = 20  # MB
UNPACKED = 60  # MB that an XLSX file may hold
QUESTIONS = 1000
LENGTH = 8000  # characters of a question
COLUMNS = 64
MEMORY = 1_000  # MB of address space that unpacking an XLSX file may take
SECONDS = 30  # of processor time for it

NAMES = ("问题", "question", "questions", "提问", "咨询", "instruction", "prompt", "query")
"""What a column of questions is called, the likeliest first."""

_ROWS = 100_000  # rows that are looked at: a sheet may have a million empty ones
_XLSX = b"PK\x03\x04"
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_BINARY = re.compile("[\x00-\x08\x0e-\x1f]")


class Unreadable(Exception):
    """The file holds no table that can be read; `reason` is a locale key below `batch.file`, `values` fill it in."""

    def __init__(self, reason: str, **values: object) -> None:
        super().__init__(reason)
        self.reason = reason
        self.values = values


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table with its heading row. `cut` says that it had more rows than are read."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    cut: bool = False

    @property
    def likely(self) -> int | None:
        """The column that holds questions by its name; the only one there is; or None."""
        plain = [name.casefold() for name in self.columns]
        for name in NAMES:
            if name in plain:
                return plain.index(name)
        return 0 if len(plain) == 1 else None

    @property
    def headed(self) -> bool:
        """Whether its first row looks like a heading: a lone column may begin with a question at once."""
        return len(self.columns) > 1 or self.columns[0].casefold() in NAMES

    def questions(self, column: int, *, headed: bool = True) -> Questions:
        """What stands in a column, without blanks and repetitions; from its very first cell where it is not `headed`."""
        rows = self.rows if headed else (self.columns, *self.rows)
        told = [row[column] for row in rows if column < len(row) and row[column]]
        distinct = list(dict.fromkeys(told))
        fit = [each for each in distinct if len(each) <= LENGTH]
        return Questions(
            tuple(fit[:QUESTIONS]), len(told) - len(distinct), len(distinct) - len(fit), len(fit)
        )


@dataclass(frozen=True, slots=True)
class Questions:
    """The questions to ask, and how many were left out: repeated ones, too long ones; `found` are those that fit."""

    asked: tuple[str, ...]
    repeated: int
    too_long: int
    found: int


def read(content: bytes) -> Sheet:
    """The table in a file, told by its content. Raises Unreadable."""
    if not content.strip():
        raise Unreadable("empty")
    if len(content) > FILE_LIMIT * 1_000_000:
        raise Unreadable("too_large", limit=FILE_LIMIT)
    if content.startswith(_OLD_EXCEL):
        raise Unreadable("old_excel")  # an encrypted XLSX file is one of these too
    if content.startswith(_XLSX):
        _measure(content)
        return _read_apart(content)
    return _sheet(_csv(content))


def _read_apart(content: bytes) -> Sheet:
    """The table of an XLSX file, read in a process that holds none of this one's secrets."""
    command = [sys.executable, "-I", __file__, str(MEMORY), str(SECONDS)]
    try:
        # The library for sheets takes NumPy in, which would reserve memory for every core.
        done = subprocess.run(
            command,
            input=content,
            capture_output=True,
            env={"OPENBLAS_NUM_THREADS": "1"},
            timeout=4 * SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise Unreadable("broken_xlsx") from None
    if done.returncode:
        raise Unreadable("broken_xlsx")
    told = json.loads(done.stdout)
    if "unreadable" in told:
        raise Unreadable(told["unreadable"])
    return Sheet(tuple(told["columns"]), tuple(map(tuple, told["rows"])), told["cut"])


def _sheet(rows: Iterator[Sequence[str]]) -> Sheet:
    """The first row that holds anything is the heading."""
    columns: tuple[str, ...] = ()
    kept: list[tuple[str, ...]] = []
    looked = 0
    for row in rows:
        looked += 1
        cells = tuple(cell.strip() for cell in row[:COLUMNS])
        if not any(cells):
            continue
        if not columns:
            columns = cells
        elif len(kept) == 2 * QUESTIONS:  # blanks and repetitions among them are many in some files
            return _named(columns, kept, cut=True)
        else:
            kept.append(cells)
    if not kept:
        raise Unreadable("no_rows" if columns else "empty")
    return _named(columns, kept, cut=looked >= _ROWS)


def _named(columns: tuple[str, ...], rows: list[tuple[str, ...]], *, cut: bool) -> Sheet:
    """Every column under a name that no other has."""
    width = max(len(columns), *map(len, rows))
    while width and not any(len(row) >= width and row[width - 1] for row in (columns, *rows)):
        width -= 1
    names: list[str] = []
    for place in range(width):
        name = (columns[place] if place < len(columns) else "") or f"{place + 1}"
        names.append(name if name not in names else f"{name} ({place + 1})")
    return Sheet(tuple(names), tuple(rows), cut)


def _csv(content: bytes) -> Iterator[Sequence[str]]:
    text = "\0" if b"\0" in content and not content.startswith(_UTF_16) else _decoded(content)
    if _BINARY.search(text):
        raise Unreadable("no_table")
    # A comma is the rule; Excel writes semicolons where a comma is the decimal sign, and tabs as "Unicode text".
    delimiter = max(",;\t", key=text.lstrip().partition("\n")[0].count)
    try:
        yield from islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), _ROWS)
    except csv.Error as error:
        raise Unreadable("no_table") from error


def _decoded(content: bytes) -> str:
    """UTF-8 with or without its mark, what Excel calls Unicode, or what Chinese Windows writes."""
    encodings = ["utf-16"] if content.startswith(_UTF_16) else ["utf-8-sig", "gb18030"]
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise Unreadable("encoding")


def _xlsx(content: bytes) -> Iterator[Sequence[str]]:
    from openpyxl import load_workbook

    with closing(load_workbook(io.BytesIO(content), read_only=True, data_only=True)) as book:
        sheet = book.active if hasattr(book.active, "iter_rows") else None
        if sheet is None:
            raise Unreadable("no_table")
        sheet.reset_dimensions()  # what a file says of its size need not be true
        for row in sheet.iter_rows(max_row=_ROWS, max_col=COLUMNS, values_only=True):
            yield [_cell(value) for value in row]


def _measure(content: bytes) -> None:
    """Refuse what is no workbook, and what would fill the memory when it is unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
    except zipfile.BadZipFile as error:
        raise Unreadable("broken_xlsx") from error
    if not any(part.filename == "xl/workbook.xml" for part in parts):
        raise Unreadable("no_table")
    if sum(part.file_size for part in parts) > UNPACKED * 1_000_000:
        raise Unreadable("bomb", limit=UNPACKED)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Read an XLSX file within bounds; of one made by hand the library, zip and XML raise anything at all, which ends it."""
    memory, seconds = map(int, sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_AS, (memory * 1_000_000,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds,) * 2)
    try:
        told = asdict(_sheet(_xlsx(sys.stdin.buffer.read())))
    except Unreadable as problem:
        told = {"unreadable": problem.reason}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
