"""Uploaded files: their bytes on disk, their rows in the database, their extracted text."""

from __future__ import annotations

import hashlib
import os
import re
import time
import unicodedata
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import sqlalchemy as sa
from sqlalchemy import Engine

from praxis.audit import Actor, Line, note
from praxis.errors import NotFound, TooLarge
from praxis.state import writing
from rag import tables
from rag.index.shelf import Shelf
from rag.ingest.document import Box, Document
from rag.pages import Page, new_id, page_of

MAX_BYTES = 512 << 20
"""The largest file taken, OpenAI's own limit."""

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class File:
    """An uploaded file."""

    id: str
    tenant: str
    filename: str
    purpose: str
    bytes: int
    sha256: str
    created_at: int
    expires_at: int | None


def clean_name(name: str | None) -> str:
    """`name` as a name alone: no folders, no control characters, at most 255 bytes; `upload` where nothing is left."""
    name = _UNPRINTABLE.sub("", unicodedata.normalize("NFC", name or "")).replace("%22", '"')
    name = PureWindowsPath(PurePosixPath(name).name).name.strip(" .")
    suffix = PurePosixPath(name).suffix[:16]
    while len(name.encode()) > 255:
        name = name[: -len(suffix) - 1 or None] + suffix if len(name) > len(suffix) + 1 else "upload"
    return name or "upload"


def no_file(file_id: str) -> NotFound:
    """What is said of a file that there is not, or that is not the asker's to know of."""
    return NotFound(f"There is no file `{file_id}`; list yours with `GET /v1/files`.", param="file_id")


class Files:
    """The files of all tenants; each method sees only those of the tenant that it is given."""

    def __init__(self, engine: Engine, folder: Path, shelf: Shelf) -> None:
        self._engine = engine
        self._folder = folder
        self._shelf = shelf
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, file_id: str) -> Path:
        """Where the bytes of a file are; its name comes from its id alone."""
        return self._folder / file_id

    async def store(
        self,
        owner: Actor,
        filename: str | None,
        purpose: str,
        parts: AsyncIterator[bytes],
        lifetime: int | None,
    ) -> File:
        """Write an upload of `owner` to disk as it comes in, then make it known. Raises TooLarge.

        The row is written last: a file is there whole or not at all.
        """
        file_id = new_id("file-")
        draft = self._folder / f".{file_id}"
        size, digest = 0, hashlib.sha256()
        try:
            with draft.open("wb") as out:
                async for part in parts:
                    size += len(part)
                    if size > MAX_BYTES:
                        raise TooLarge(
                            f"A file may have at most {MAX_BYTES >> 20} MB; split it.", param="file"
                        )
                    digest.update(part)
                    out.write(part)
                out.flush()
                os.fsync(out.fileno())
            draft.rename(self.path(file_id))
        finally:
            draft.unlink(missing_ok=True)
        now = int(time.time())
        expires = now + lifetime if lifetime else None
        name = clean_name(filename)
        file = File(file_id, owner.tenant, name, purpose, size, digest.hexdigest(), now, expires)
        values = {name: getattr(file, name) for name in File.__dataclass_fields__}
        with writing(self._engine).begin() as connection:
            connection.execute(sa.insert(tables.files).values(values))
            note(connection, owner, Line("file.add", file_id))
        return file

    def get(self, tenant: str, file_id: str) -> File:
        """Raises NotFound when the tenant has no such file."""
        file = self.find(file_id)
        if file is None or file.tenant != tenant:
            raise no_file(file_id)
        return file

    def find(self, file_id: str) -> File | None:
        """A file, whosever it is; for who has asked whether it may be read."""
        query = sa.select(tables.files).where(tables.files.c.id == file_id)
        with self._engine.connect() as connection:
            row = connection.execute(query).mappings().first()
        return File(**row) if row else None

    def standing(self, file_id: str) -> Sequence[str]:
        """The ids of the stores that the file stands in, oldest first."""
        entries = tables.entries.c
        query = sa.select(entries.store_id).where(entries.file_id == file_id).order_by(entries.store_id)
        with self._engine.connect() as connection:
            return connection.execute(query).scalars().all()

    def list(self, tenant: str, page: Page, purpose: str | None) -> tuple[Sequence[File], bool]:
        """One page of the tenant's files, and whether there are more."""
        query = sa.select(tables.files).where(tables.files.c.tenant == tenant)
        if purpose is not None:
            query = query.where(tables.files.c.purpose == purpose)
        with self._engine.connect() as connection:
            rows, more = page_of(connection, query, tables.files.c.id, page)
        return [File(**row) for row in rows], more

    def delete(self, owner: Actor, file_id: str) -> None:
        """Remove a file everywhere: disk, text, passages, vectors and words, in every store. Raises NotFound."""
        self.get(owner.tenant, file_id)
        entries = tables.entries.c
        with self._shelf.changing(self.standing(file_id)) as indexes:
            with writing(self._engine).begin() as connection:
                holding = sa.select(entries.store_id).where(entries.file_id == file_id)
                connection.execute(
                    sa.update(tables.stores)
                    .where(tables.stores.c.id.in_(holding))
                    .values(generation=tables.stores.c.generation + 1)
                )
                gone = connection.execute(sa.delete(tables.files).where(tables.files.c.id == file_id))
                if gone.rowcount:  # another request may have been first
                    note(connection, owner, Line("file.delete", file_id))
            for index in indexes.values():
                index.remove(file_id)
                index.generation += 1
        self.path(file_id).unlink(missing_ok=True)

    def document(self, file_id: str) -> Document | None:
        """The extracted text of a file, None while nobody has needed it yet."""
        query = sa.select(tables.texts).where(tables.texts.c.file_id == file_id)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return Document.of(row.text, row.pages, row.facts or {}) if row else None

    def keep(self, file_id: str, document: Document) -> None:
        """Remember the extracted text of a file, unless the file is gone by now."""
        with writing(self._engine).begin() as connection:
            there = connection.execute(
                sa.select(tables.files.c.id).where(tables.files.c.id == file_id)
            ).first()
            known = connection.execute(
                sa.select(tables.texts.c.file_id).where(tables.texts.c.file_id == file_id)
            ).first()
            if there and not known:
                values = {"text": document.text, "pages": list(document.pages), "facts": document.facts()}
                connection.execute(sa.insert(tables.texts).values(values | {"file_id": file_id}))

    def lines(self, file_id: str, page: int) -> Sequence[tuple[str, Box]]:
        """The lines that were recognised on a page, from 1, and where each stands; none where that is not known."""
        kept = tables.recognised.c
        query = sa.select(kept.lines, kept.boxes).where(kept.file_id == file_id, kept.page == page)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None or row.boxes is None or len(row.boxes) != len(row.lines):
            return []
        return [(line, tuple(box)) for line, box in zip(row.lines, row.boxes, strict=True)]

    def expired(self) -> Sequence[File]:
        """The files whose time is over."""
        query = sa.select(tables.files).where(tables.files.c.expires_at <= int(time.time()))
        with self._engine.connect() as connection:
            return [File(**row) for row in connection.execute(query).mappings()]

    def sweep(self) -> None:
        """Clear away bytes without a row, which an upload or a deletion that was cut short has left.

        Only for the start of the process, when nothing is being uploaded.
        """
        with self._engine.connect() as connection:
            known = set(connection.execute(sa.select(tables.files.c.id)).scalars())
        for path in self._folder.iterdir():
            if path.name not in known:
                path.unlink(missing_ok=True)
