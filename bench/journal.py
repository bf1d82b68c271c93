"""What a run has found so far, on disk row by row: stopped at any moment, it goes on where it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from praxis.errors import PraxisError


class Row(Protocol):
    """One line of a journal. `error` says why there is no result."""

    @property
    def id(self) -> int: ...

    @property
    def error(self) -> Mapping[str, Any] | None: ...

    def line(self) -> bytes:
        """The row as JSON with its end of line."""


_Row = TypeVar("_Row", bound=Row)


class Journal(Generic[_Row]):
    """The file of a run under way: lines in the order in which they came, each written as soon as it is known."""

    def __init__(self, path: Path, read: Callable[[Path], Sequence[_Row]]) -> None:
        """Open `path` for more lines; `read` gives its rows. A last line that a crash cut short is dropped."""
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        content = path.read_bytes()
        os.ftruncate(self._file, content.rfind(b"\n") + 1)
        os.lseek(self._file, 0, os.SEEK_END)
        self._rows = {each.id: each for each in read(path)}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    @property
    def done(self) -> Mapping[int, _Row]:
        """The rows that have their result, by id; rows that failed are to be tried again."""
        return {each.id: each for each in self._rows.values() if each.error is None}

    def add(self, row: _Row) -> None:
        """Write one line. Raises OSError, with the file as it was, when the disk does not take it."""
        before = os.lseek(self._file, 0, os.SEEK_CUR)
        rest = memoryview(row.line())
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            os.ftruncate(self._file, before)
            os.lseek(self._file, before, os.SEEK_SET)
            raise
        self._rows[row.id] = row

    def finish(self) -> list[_Row]:
        """Put the file into the order of ids, each row once, and return its rows."""
        ordered = [self._rows[each] for each in sorted(self._rows)]
        write(self.path, (each.line() for each in ordered))
        return ordered


@contextmanager
def finishable(path: Path, how: str) -> Iterator[None]:
    """Turn what stops the work at `path`, Ctrl-C or a disk that takes no more, into a PraxisError that says `how` to finish."""
    try:
        yield
    except KeyboardInterrupt:
        raise PraxisError(f"Stopped. {how}") from None
    except OSError as error:
        raise PraxisError(f"`{path}` cannot be written: {error.strerror}. {how}") from None


def write(path: Path, lines: Iterable[bytes]) -> None:
    """Replace `path` in one step, so that whoever reads it never sees half of it."""
    draft = path.with_name(path.name + ".part")
    with draft.open("wb") as file:
        file.writelines(lines)
    draft.replace(path)
