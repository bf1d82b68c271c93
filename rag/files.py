"""Uploaded files: their rows in the database, their extracted text, and with `rag.contents` their bytes.

Bytes are there before their row and until it is gone. The leftovers are those that may lie there without one, because an
upload or a deletion was cut short or the place of files was away; they are written down first, and cleared away.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import time
import unicodedata
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from praxis.audit import Actor, Line, note
from praxis.errors import NotFound, TooLarge
from praxis.state import writing
from rag import tables
from rag.contents import Contents, FilesAway
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


_leftovers = tables.leftovers


class Files:
    """The files of all tenants; each method sees only those of the tenant that it is given."""

    def __init__(self, engine: Engine, contents: Contents, shelf: Shelf) -> None:
        self._engine = engine
        self._contents = contents
        self._shelf = shelf
        self._arriving: set[str] = set()

    @contextmanager
    def at_hand(self, file_id: str) -> Iterator[Path]:
        """A file with the bytes of a file on this machine, for as long as the context lasts. Raises NotFound, FilesAway."""
        file = self.find(file_id)
        if file is None:
            raise no_file(file_id)
        try:
            path = self._contents.fetch(file_id, file.sha256)
        except FileNotFoundError:
            raise no_file(file_id) from None
        try:
            yield path
        finally:
            self._contents.release(path)

    @asynccontextmanager
    async def fetched(self, file_id: str) -> AsyncIterator[Path]:
        """The same, for those who must not block."""
        held = self.at_hand(file_id)
        path = await asyncio.to_thread(held.__enter__)
        try:
            yield path
        finally:
            held.__exit__(None, None, None)

    async def store(
        self,
        owner: Actor,
        filename: str | None,
        purpose: str,
        parts: AsyncIterator[bytes],
        lifetime: int | None,
    ) -> File:
        """Write an upload of `owner` down as it comes in, then make it known. Raises TooLarge, FilesAway.

        The row is written last: a file is there whole or not at all.
        """
        file_id = new_id("file-")
        draft = self._contents.draft(file_id)
        size, digest = 0, hashlib.sha256()
        self._arriving.add(file_id)
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
            now = int(time.time())
            expires = now + lifetime if lifetime else None
            name = clean_name(filename)
            file = File(file_id, owner.tenant, name, purpose, size, digest.hexdigest(), now, expires)
            await asyncio.to_thread(self._add, file, draft, owner)
        finally:
            draft.unlink(missing_ok=True)
            self._arriving.discard(file_id)
        return file

    def _add(self, file: File, draft: Path, owner: Actor) -> None:
        with writing(self._engine).begin() as connection:
            leave_over(connection, file.id)
        self._contents.put(file.id, draft)
        values = {name: getattr(file, name) for name in File.__dataclass_fields__}
        with writing(self._engine).begin() as connection:
            connection.execute(sa.insert(tables.files).values(values))
            connection.execute(sa.delete(_leftovers).where(_leftovers.c.file_id == file.id))
            note(connection, owner, Line("file.add", file.id))

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
        """Remove a file everywhere: bytes, text, passages, vectors and words, in every store. Raises NotFound.

        Where the place of files is away, its bytes, which nobody can ask for any more, go as soon as that is back.
        """
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
                    leave_over(connection, file_id)
                    note(connection, owner, Line("file.delete", file_id))
            for index in indexes.values():
                index.remove(file_id)
                index.generation += 1
        self.clear()

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

    def clear(self) -> None:
        """Clear away the leftovers; those whose place is away stay for the next time."""
        left = self._left_over() - self._arriving
        # One that was arriving while the first was asked for may have come to be a file since.
        with suppress(FilesAway):
            for file_id in sorted(left & self._left_over()) if left else ():
                self._contents.remove(file_id)
                with writing(self._engine).begin() as connection:
                    connection.execute(sa.delete(_leftovers).where(_leftovers.c.file_id == file_id))

    def _left_over(self) -> set[str]:
        with self._engine.connect() as connection:
            return set(connection.execute(sa.select(_leftovers.c.file_id)).scalars())


def leave_over(connection: Connection, file_id: str) -> None:
    """Have the bytes of a file cleared away, inside the transaction after which no row names them."""
    connection.execute(sa.insert(_leftovers).values(file_id=file_id))
