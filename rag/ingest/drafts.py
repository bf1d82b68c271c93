"""What is done of files that are not in yet: how far each is, pages recognised, vectors made.

It stands in the database, so that whatever ends the process, nothing that took long is done again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from praxis.state import writing
from rag import tables
from rag.index.embedding import Vectors
from rag.ingest.document import Recognised

Step = Literal["reading", "recognising", "splitting", "embedding", "ready"]
"""What is being done with a file: its text is read, pages of it are recognised (OCR), it is split, embedded, and in."""

_OFTEN = 0.5
"""Seconds between two reports of the same step."""


class Unwanted(Exception):
    """The file was taken out of the store, or its batch was cancelled, while it was being read."""


@dataclass(frozen=True, slots=True)
class Job:
    """A file to be taken into a store."""

    store_id: str
    file_id: str
    filename: str
    chunk_size: int
    chunk_overlap: int
    attributes: Mapping[str, Any]

    @property
    def encoding(self) -> str | None:
        """The encoding that the file's owner names."""
        named = self.attributes.get("encoding")
        return named if isinstance(named, str) and named.strip() else None


class Drafts:
    """The unfinished work of all jobs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._told: dict[tuple[str, str], tuple[Step, float]] = {}

    def tell(self, job: Job, step: Step, done: int | None = None, total: int | None = None) -> None:
        """Report how far a file is. Raises Unwanted where it need go no further."""
        key = (job.store_id, job.file_id)
        last, when = self._told.get(key, (None, 0.0))
        if last == step and time.monotonic() - when < _OFTEN:
            return
        self._told[key] = step, time.monotonic()
        with writing(self._engine).begin() as connection:
            self._tell(connection, job, step, done, total)

    def pages(self, file_id: str) -> dict[int, list[str]]:
        """The lines of the pages recognised so far."""
        pages = tables.recognised.c
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(pages.page, pages.lines).where(pages.file_id == file_id))
            return {row.page: row.lines for row in rows}

    def keep_page(self, job: Job, page: int, seen: Recognised, done: int, total: int) -> None:
        """Remember a page that was recognised, the `done`th of `total`. Raises Unwanted."""
        with writing(self._engine).begin() as connection:
            self._tell(connection, job, "recognising", done, total)
            values = {"file_id": job.file_id, "page": page, "lines": seen.lines, "boxes": seen.boxes}
            connection.execute(sa.insert(tables.recognised).values(values))

    def vectors(self, digests: Sequence[str]) -> dict[str, Any]:
        """The vectors that there are of these texts, in any store or on the way into one."""
        found: dict[str, Any] = {}
        with self._engine.connect() as connection:
            for at in range(0, len(digests), 500):
                part = digests[at : at + 500]
                for table in (tables.passages.c, tables.drafts.c):
                    query = sa.select(table.digest, table.vector).where(table.digest.in_(part))
                    found |= {
                        row.digest: np.frombuffer(row.vector, "<f4") for row in connection.execute(query)
                    }
        return found

    def keep_vectors(self, job: Job, digests: Sequence[str], rows: Vectors, done: int, total: int) -> None:
        """Remember vectors that were made, so that `done` of `total` are. Raises Unwanted."""
        key = {"store_id": job.store_id, "file_id": job.file_id}
        values = [
            key | {"digest": digest, "vector": np.asarray(row, "<f4").tobytes()}
            for digest, row in zip(digests, rows, strict=True)
        ]
        with writing(self._engine).begin() as connection:
            self._tell(connection, job, "embedding", done, total)
            connection.execute(sa.insert(tables.drafts), values)

    def clear(self, connection: Connection, job: Job) -> None:
        """Forget the vectors of a file that is in."""
        drafts = tables.drafts.c
        connection.execute(
            sa.delete(tables.drafts).where(drafts.store_id == job.store_id, drafts.file_id == job.file_id)
        )
        self._told.pop((job.store_id, job.file_id), None)

    def _tell(
        self, connection: Connection, job: Job, step: Step, done: int | None, total: int | None
    ) -> None:
        entries = tables.entries
        progress: dict[str, Any] = {"step": step}
        if total is not None:
            progress |= {"done": done, "total": total}
        changed = connection.execute(
            sa.update(entries)
            .where(
                entries.c.store_id == job.store_id,
                entries.c.file_id == job.file_id,
                entries.c.status == "in_progress",
            )
            .values(progress=progress)
        )
        if not changed.rowcount:
            raise Unwanted
