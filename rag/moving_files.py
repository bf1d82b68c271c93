"""Copying uploaded files to another place, so that `rag.files` may point there: verified by count and SHA-256.

A file's bytes never change and its id is never used twice, so this may be done while Praxis serves, and again for what
came since.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Engine

from praxis.errors import InternalError, PraxisError
from rag import tables
from rag.contents import Contents, digest

_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Moved:
    """How many files are in the new place, how many bytes they have, and a checksum over each one's id and SHA-256."""

    count: int
    bytes: int
    checksum: str


def moved_files(engine: Engine, source: Contents, target: Contents) -> Moved:
    """Have every file that the state names in `target` too, each read back from there.

    Raises PraxisError naming files that `source` lacks, InternalError for those that are damaged, and FilesAway."""
    files = tables.files.c
    with engine.connect() as connection:
        rows = connection.execute(sa.select(files.id, files.bytes, files.sha256).order_by(files.id)).all()
    made, missing = hashlib.sha256(), []
    for row in rows:
        if not _holds(target, row.id, row.sha256):
            try:
                _copy(source, target, row.id, row.sha256)
            except FileNotFoundError:
                missing.append(row.id)
                continue
            if not _holds(target, row.id, row.sha256):
                raise InternalError(f"`{target.url}` does not give `{row.id}` back as it was; try again.")
        made.update(f"{row.id} {row.sha256}\n".encode())
    if missing:
        some = ", ".join(f"`{each}`" for each in missing[:_MOST_NAMED])
        raise PraxisError(
            f"{len(missing)} files are not in `{source.url}` (such as {some}): run this where rag runs, with the same "
            "models.yaml and `PRAXIS_HOME`; delete what is lost, or restore it."
        )
    return Moved(len(rows), sum(row.bytes for row in rows), made.hexdigest())


def _copy(source: Contents, target: Contents, file_id: str, sha256: str) -> None:
    fetched, draft = source.fetch(file_id, sha256), target.draft(file_id)
    try:
        shutil.copyfile(fetched, draft)
        if digest(draft) != sha256:
            raise InternalError(f"What lies under `{file_id}` in `{source.url}` is not what was uploaded.")
        target.put(file_id, draft)
    finally:
        draft.unlink(missing_ok=True)
        source.release(fetched)


def _holds(place: Contents, file_id: str, sha256: str) -> bool:
    """Whether a place gives the right bytes back."""
    try:
        fetched = place.fetch(file_id, sha256)
    except (FileNotFoundError, InternalError):
        return False
    try:
        return digest(fetched) == sha256
    finally:
        place.release(fetched)
