"""The state database: SQLite on one machine, PostgreSQL beyond. Each room owns its tables and their migrations."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.schema import CreateTable

from praxis.errors import PraxisError

Step = Callable[[Connection], None]

VERSIONS = sa.Table(
    "schema_version",
    sa.MetaData(),
    sa.Column("room", sa.String(32), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
)

APPLICATION = "praxis"
"""What PostgreSQL lists our connections as."""

_POSTGRESQL = {"application_name": APPLICATION, "connect_timeout": 5, "tcp_user_timeout": 10_000}
_PATIENCE = 10_000
"""Milliseconds for which SQLite waits for its lock."""
_MIGRATING = 0x70726178
"""The number of PostgreSQL's advisory lock under which schemas change."""


def connect(url: str) -> Engine:
    """An engine for `url`, its folder made where SQLite needs one.

    SQLite runs in WAL mode, so that readers never wait for a writer, and waits up to 10 s for its lock,
    because the gateway, rag and the command line share the file. A PostgreSQL server that is gone without a word is
    given up after seconds, not after the minutes that the operating system would wait.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return sa.create_engine(parsed, pool_pre_ping=True, connect_args=_POSTGRESQL)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(parsed)

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _: object) -> None:
        # The driver's own transaction control begins late and lets a read turn into a write that fails at once.
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            f"busy_timeout={_PATIENCE}",
            "foreign_keys=ON",
            "synchronous=NORMAL",
            "secure_delete=ON",  # what is deleted is overwritten, see `scrub`
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(
            "BEGIN IMMEDIATE" if connection.get_execution_options().get("write") else "BEGIN"
        )

    return engine


def writing(engine: Engine) -> Engine:
    """The same engine whose transactions take SQLite's write lock when they begin.

    A transaction that reads first and writes later would otherwise fail at once when another process wrote
    in between; one that begins as a writer waits its turn.
    """
    return engine.execution_options(write=True)


def scrub(engine: Engine, *, whole: bool = False) -> None:
    """Have what was deleted leave SQLite's write-ahead log, where it stands until the log is written anew.

    In the database itself it is overwritten when it is deleted, but pages that were split or merged can hold remains of
    it; with `whole`, the database is rewritten without them, and writers wait for that. Where somebody reads for long,
    the log stays for the next time. PostgreSQL clears away by itself (autovacuum).
    """
    if engine.dialect.name != "sqlite":
        return
    with contextlib.closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        try:
            if whole:
                cursor.execute("VACUUM")
            else:
                cursor.execute("PRAGMA busy_timeout=100")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.fetchall()
        finally:
            cursor.execute(f"PRAGMA busy_timeout={_PATIENCE}")


def migrate(engine: Engine, room: str, steps: Sequence[Step]) -> None:
    """Bring the tables of `room` forward: run the steps that this database has not seen, in one transaction.

    A step is never edited once released; a change of mind is a new step at the end. Raises PraxisError when the
    database cannot be reached.
    """
    try:
        with writing(engine).begin() as connection:
            advance(connection, room, steps)
    except sa.exc.OperationalError as error:
        where = engine.url.render_as_string(hide_password=True)
        reason = str(error.orig).strip().splitlines()[0]
        raise PraxisError(
            f"The state database `{where}` cannot be used ({reason}); check `state` in models.yaml and that it runs."
        ) from error


def advance(connection: Connection, room: str, steps: Sequence[Step]) -> None:
    """`migrate` inside the caller's transaction."""
    if connection.dialect.name == "postgresql":
        # Several processes may start at once on an empty database, where there is no row to lock yet.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATING)))
    connection.execute(CreateTable(VERSIONS, if_not_exists=True))
    row = connection.execute(
        sa.select(VERSIONS.c.version).where(VERSIONS.c.room == room).with_for_update()
    ).first()
    seen = row.version if row else 0
    for step in steps[seen:]:
        step(connection)
    if row is None:
        connection.execute(sa.insert(VERSIONS).values(room=room, version=len(steps)))
    elif len(steps) > seen:
        connection.execute(sa.update(VERSIONS).where(VERSIONS.c.room == room).values(version=len(steps)))
