"""The state database at one moment, as one SQLite file, whatever kind of database it is; and back again.

A PostgreSQL database goes row by row into a SQLite file whose tables the same migration steps made, and from such a
file into an empty PostgreSQL. So there is one form of backup, and it may be restored into the other kind of database.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from praxis.errors import PraxisError
from praxis.kept import Folder, Kept
from praxis.state import VERSIONS, advance, connect, writing

_ROWS_AT_ONCE = 100  # a row may hold a picture


def take(engine: Engine, target: Path, kept: Kept) -> None:
    """Write the database of `engine`, as it is at one moment, to the SQLite file `target`. Nobody has to wait for it.

    Raises PraxisError when there is no state, or more in it than `kept` answers for.
    """
    if engine.dialect.name == "sqlite":
        _copy_sqlite(Path(engine.url.database or ""), target)
    else:
        _copy_rows_out(engine, target, kept)
    with opened(target) as connection:
        known_versions(connection, kept)


def known_versions(connection: Connection, kept: Kept) -> dict[str, int]:
    """The version of each room's tables. Raises PraxisError for a room or a version that this Praxis does not know."""
    rows = connection.execute(sa.select(VERSIONS)).all()
    versions: dict[str, int] = {row.room: row.version for row in rows}
    for room, version in versions.items():
        if room not in kept.schemas:
            raise PraxisError(
                f"The state has tables of `{room}`, which is not installed; run `make install`."
            )
        if version > len(kept.schemas[room]):
            raise PraxisError(
                f"The tables of `{room}` are of version {version} and this Praxis knows {len(kept.schemas[room])}; "
                "install the newer Praxis that made them."
            )
    return versions


@contextlib.contextmanager
def opened(file: Path) -> Iterator[Connection]:
    """A connection to the snapshot `file`, only to read."""
    engine = sa.create_engine(
        "sqlite://", creator=lambda: sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)
    )
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.DatabaseError as error:
        raise PraxisError(f"`{file.name}` is no sound state database ({error.orig}).") from error
    finally:
        engine.dispose()


def tables(connection: Connection) -> sa.MetaData:
    """The tables of a snapshot, with types that any database understands."""
    found = sa.MetaData()
    found.reflect(connection)
    for table in found.tables.values():
        for column in table.columns:
            column.type = column.type.as_generic()
    return found


def forget(file: Path, folder: Folder, names: Collection[str]) -> None:
    """Delete from the snapshot `file` the rows of files that were deleted while it was made, and what hangs on them."""
    copy = connect(f"sqlite:///{file}")
    rows = sa.table(folder.table, sa.column(folder.column))
    try:
        with writing(copy).begin() as connection:
            for name in names:
                connection.execute(sa.delete(rows).where(rows.c[folder.column] == name))
        _close_log(copy)
    finally:
        copy.dispose()


def pour(source: Connection, engine: Engine, kept: Kept) -> None:
    """Replace all that Praxis has in the PostgreSQL database of `engine` by the snapshot `source`, in one transaction."""
    versions = known_versions(source, kept)
    with engine.begin() as sink:
        for table in reversed(all_tables(kept).sorted_tables):
            sink.execute(sa.schema.DropTable(table, if_exists=True))
        _make(sink, versions, kept)
        held = tables(source)
        _copy_rows(source, sink, held)
        _sequences_in(source, sink, held)


def all_tables(kept: Kept) -> sa.MetaData:
    """Every table that this Praxis makes."""
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        _make(connection, {room: len(steps) for room, steps in kept.schemas.items()}, kept)
        return tables(connection)


def _make(connection: Connection, versions: Mapping[str, int], kept: Kept) -> None:
    for room, version in versions.items():
        advance(connection, room, kept.schemas[room][:version])


def _copy_sqlite(source: Path, target: Path) -> None:
    if not source.is_file():
        raise PraxisError(f"There is no state at `{source}` to back up; start Praxis or make a key first.")
    with (
        contextlib.closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True)) as live,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        # In one step: a copy that let writers in between would begin anew each time that one wrote.
        live.backup(copy, pages=-1)
        copy.execute("PRAGMA journal_mode=DELETE")


def _copy_rows_out(engine: Engine, target: Path, kept: Kept) -> None:
    copy = connect(f"sqlite:///{target}")
    moment = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    try:
        with moment.connect() as source, writing(copy).begin() as sink:
            if not sa.inspect(source).has_table(VERSIONS.name):
                raise PraxisError("There is no state to back up yet; start Praxis or make a key first.")
            _make(sink, known_versions(source, kept), kept)
            held = tables(sink)
            _copy_rows(source, sink, held)
            _sequences_out(source, sink, held)
        _close_log(copy)
    finally:
        copy.dispose()


def _close_log(copy: Engine) -> None:
    """Have all of a snapshot in its one file."""
    with copy.connect() as connection:
        connection.connection.driver_connection.execute("PRAGMA journal_mode=DELETE")  # type: ignore[union-attr]


def _copy_rows(source: Connection, sink: Connection, held: sa.MetaData) -> None:
    for table in held.sorted_tables:
        if table.name == VERSIONS.name:
            continue
        streamed = source.execution_options(stream_results=True, max_row_buffer=_ROWS_AT_ONCE)
        for rows in streamed.execute(sa.select(table)).mappings().partitions(_ROWS_AT_ONCE):
            sink.execute(sa.insert(table), [dict(row) for row in rows])


def _counted(postgresql: Connection, held: sa.MetaData) -> Iterator[tuple[str, Any]]:
    """The tables whose ids PostgreSQL counts itself, with the sequence that does so."""
    for table in held.sorted_tables:
        for column in table.primary_key:
            if isinstance(column.type, sa.Integer):
                owner = sa.func.pg_get_serial_sequence(table.name, column.name)
                if sequence := postgresql.execute(sa.select(owner)).scalar():
                    yield table.name, sequence


def _sequences_out(source: Connection, sink: Connection, held: sa.MetaData) -> None:
    """An id that was given once is never given again, also after a restore."""
    for name, sequence in _counted(source, held):
        last = source.execute(
            sa.text(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}")
        )
        values = {"name": name, "last": int(last.scalar_one())}
        sink.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": name})
        sink.execute(sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"), values)


def _sequences_in(source: Connection, sink: Connection, held: sa.MetaData) -> None:
    if not source.execute(sa.text("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'")).first():
        return
    rows = source.execute(sa.text("SELECT name, seq FROM sqlite_sequence")).all()
    given: dict[str, int] = {row.name: row.seq for row in rows}
    for name, sequence in _counted(sink, held):
        if last := given.get(name):
            sink.execute(sa.select(sa.func.setval(sequence, last)))
