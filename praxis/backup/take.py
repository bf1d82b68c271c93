"""Taking a backup, while everything serves."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import Engine

from praxis.backup import archive, snapshot
from praxis.backup.staging import staging
from praxis.config import Config
from praxis.errors import PraxisError
from praxis.kept import Folder, Kept
from praxis.state import connect


def back_up(config: Config, target: Path, kept: Kept) -> archive.Manifest:
    """Write the state and the files that it names to the archive `target`. Raises PraxisError.

    The database is the truth: it is copied as it is at one moment, and with it go the files that it names then. What
    is deleted while the backup is taken may be in it or not, but never by half.
    """
    engine = connect(config.state)
    try:
        with staging(config.home, "backup") as folder:
            for each in kept.folders:
                # Before the copy: what is deleted from now on stays here.
                _hold(config.home / each.path, folder / archive.FILES / each.path)
            copy = folder / archive.STATE
            snapshot.take(engine, copy, kept)
            for each in kept.folders:
                _settle(engine, copy, each, config.home / each.path, folder / archive.FILES / each.path)
            return archive.write(target.absolute(), _members(folder, kept.folders))
    finally:
        engine.dispose()


def _hold(source: Path, target: Path) -> None:
    """Link all files of a folder into another, where they stay though the first one's are deleted."""
    target.mkdir(parents=True, exist_ok=True)
    held = {each.name for each in target.iterdir()}
    for file in source.iterdir() if source.is_dir() else ():
        if file.name not in held and not file.name.startswith("."):
            _link(file, target / file.name)


def _link(source: Path, target: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        try:
            os.link(source, target)
        except FileNotFoundError:
            raise
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, target)
        return True
    return False


def _settle(engine: Engine, copy: Path, kind: Folder, source: Path, held: Path) -> None:
    """Bring the held files in step with the copied database."""
    with snapshot.opened(copy) as connection:
        names, present = kind.names(connection), {file.name for file in held.iterdir()}
    for name in present - names:
        (held / name).unlink()
    # Those that came after the holding; some may be gone again.
    missing = {name for name in names - present if not _link(source / name, held / name)}
    if not missing:
        return
    with engine.connect() as connection:
        lost = sorted(missing & kind.names(connection))
    if lost:
        raise PraxisError(
            f"The state names {len(lost)} files that are not in `{source}` (such as {', '.join(lost[:3])}): run the "
            "backup on the machine where rag keeps its files, with the same `PRAXIS_HOME`."
        )
    snapshot.forget(copy, kind, missing)


def _members(folder: Path, folders: Sequence[Folder]) -> Iterator[tuple[str, Path]]:
    yield archive.STATE, folder / archive.STATE
    for each in folders:
        for file in sorted((folder / archive.FILES / each.path).iterdir()):
            yield f"{archive.FILES}/{each.path}/{file.name}", file
