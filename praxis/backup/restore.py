"""Putting a backup back: everything is checked before anything changes, and the change is one step.

Files come first. Their names are never used twice, so those of a backup harm nobody as long as the database does not
name them. Then the database is replaced, by one rename (SQLite) or in one transaction (PostgreSQL): before it all is as
it was, after it all is as in the backup.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Engine

from praxis.backup import archive, snapshot
from praxis.backup.staging import staging
from praxis.config import Config
from praxis.errors import PraxisError
from praxis.kept import Kept
from praxis.state import APPLICATION, VERSIONS, connect

_IN_USE = "A process of Praxis is using this state; stop `praxis up`, and every gateway and rag, then restore again."


def restore(config: Config, source: Path, kept: Kept, *, force: bool) -> archive.Manifest:
    """Replace state and files by those of the archive `source`. Raises PraxisError, and has then changed nothing.

    Refused while a process uses the state, and, without `force`, where there is something to lose.
    """
    if not source.is_file():
        raise PraxisError(f"There is no backup `{source}`; give the file that `praxis backup` wrote.")
    engine = connect(config.state)
    try:
        with staging(config.home, "restore") as folder:
            with _alone(engine):
                pass
            if not force and (found := _something_to_lose(engine, config.home, kept)):
                raise PraxisError(
                    f"There is something here already ({found}): `--force` replaces it for good; `praxis backup` "
                    "would save it first."
                )
            manifest = archive.unpack(source, folder)
            named = _sound(source, folder, kept)
            engine.dispose()
            with _alone(engine):
                _replace(config.home, folder, engine, kept, named)
            return manifest
    finally:
        engine.dispose()


@contextlib.contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """Hold the state so that no other process begins to use it. Raises PraxisError where one does already."""
    if engine.dialect.name != "sqlite":
        others = sa.text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = :name AND pid <> pg_backend_pid()"
        )
        with engine.connect() as connection:
            if connection.execute(others, {"name": APPLICATION}).scalar_one():
                raise PraxisError(_IN_USE)
            yield
        return
    file = Path(engine.url.database or "")
    if not file.exists():
        yield
        return
    with contextlib.closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as connection:
        try:
            # Who has the database open keeps it from leaving WAL mode; and once left, no old log lies beside the file.
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            raise PraxisError(_IN_USE) from None
        except sqlite3.DatabaseError:
            pass  # damaged, which is what one restores for
        yield


def _something_to_lose(engine: Engine, home: Path, kept: Kept) -> str | None:
    """What a restore would replace, in words, or None where there is nothing yet."""
    for folder in kept.folders:
        if any((home / folder.path).glob("[!.]*")):
            return f"files in `{home / folder.path}`"
    if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").exists():
        return None
    try:
        with engine.connect() as connection:
            there = set(sa.inspect(connection).get_table_names())
            for table in snapshot.all_tables(kept).sorted_tables:
                if table.name in there and table.name != VERSIONS.name:
                    ours = sa.select(sa.literal(1)).select_from(sa.table(table.name)).limit(1)
                    if connection.execute(ours).first():
                        return f"rows in the table `{table.name}`"
    except sa.exc.DatabaseError:
        return "a state database that cannot be read"
    return None


def _sound(source: Path, folder: Path, kept: Kept) -> Mapping[str, set[str]]:
    """Per folder, the files that the unpacked state names; all of them are there. Raises PraxisError."""
    named: dict[str, set[str]] = {}
    known = {each.path for each in kept.folders}
    unpacked = folder / archive.FILES
    for each in sorted(unpacked.rglob("*")):
        if each.is_file() and str(each.parent.relative_to(unpacked)) not in known:
            raise archive.refused(source, f"nobody here keeps `{each.relative_to(unpacked)}`")
    with snapshot.opened(folder / archive.STATE) as connection:
        snapshot.known_versions(connection, kept)
        if (verdict := connection.execute(sa.text("PRAGMA integrity_check")).scalar()) != "ok":
            raise archive.refused(source, f"its state database is damaged ({verdict})")
        for kind in kept.folders:
            named[kind.path] = kind.names(connection)
            for name in sorted(named[kind.path]):
                if not (unpacked / kind.path / name).is_file():
                    raise archive.refused(source, f"its state names the file `{name}`, which it lacks")
    return named


def _replace(home: Path, folder: Path, engine: Engine, kept: Kept, named: Mapping[str, set[str]]) -> None:
    for cache in kept.caches:
        shutil.rmtree(home / cache, ignore_errors=True)
    for path in named:
        target = home / path
        target.mkdir(parents=True, exist_ok=True)
        unpacked = folder / archive.FILES / path
        for file in unpacked.iterdir() if unpacked.is_dir() else ():
            file.replace(target / file.name)
        _sync(target)
    if engine.dialect.name == "sqlite":
        _swap(folder / archive.STATE, Path(engine.url.database or ""))
    else:
        with snapshot.opened(folder / archive.STATE) as connection:
            snapshot.pour(connection, engine, kept)
    for path, names in named.items():
        for file in (home / path).iterdir():
            if file.name not in names:
                file.unlink()


def _swap(fresh: Path, target: Path) -> None:
    """Put the database `fresh` in the place of `target` by one rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    near = target.with_name(target.name + ".restoring")
    shutil.move(fresh, near)
    near.chmod(0o600)
    for log in ("-wal", "-shm"):
        # A log is read into whatever file it lies beside.
        target.with_name(target.name + log).unlink(missing_ok=True)
    near.replace(target)
    _sync(target.parent)


def _sync(folder: Path) -> None:
    """Make the folder's names as lasting as the files' contents."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
