"""Knowledge bases, which are OpenAI's vector stores: which files stand in them, how far each is, what is attached."""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from praxis.audit import Actor, Line, note
from praxis.errors import Conflict, InvalidRequest, NotFound
from praxis.state import writing
from rag import tables
from rag.index.shelf import EMBEDDED, Shelf
from rag.pages import Page, new_id, page_of
from rag.shares import shared_with

DAY = 86_400
Row = dict[str, Any]
"""A row of one of the tables, by column."""

STATUSES = ("in_progress", "completed", "failed", "cancelled")

_stores, _entries, _batches = tables.stores, tables.entries, tables.batches
_files = tables.files.c
_NAMED_ENTRIES = sa.select(_entries, _files.filename, _files.bytes, _files.tenant).join(
    tables.files, _files.id == _entries.c.file_id
)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file as it goes into a store: what its owner says of it, and how large its chunks may be (tokens); `replaces` is
    the file of the store that it takes the place of once it is read."""

    file_id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    chunk_size: int = 800
    chunk_overlap: int = 0
    replaces: str | None = None


class Stores:
    """The stores of all tenants. `wake` is called when there is something to ingest; `provider` is where the vectors of
    new ones go. Whoever changes one says who does it (`by`), for the audit trail."""

    def __init__(
        self, engine: Engine, shelf: Shelf, wake: Callable[[], None], provider: str = EMBEDDED
    ) -> None:
        self._engine = engine
        self._shelf = shelf
        self._wake = wake
        self._provider = provider

    def create(
        self,
        by: Actor,
        *,
        name: str,
        description: str | None,
        metadata: Mapping[str, Any],
        expires_days: int | None,
        attachments: Sequence[Attachment],
    ) -> Row:
        """A new store of the actor's tenant with files on their way into it. Raises NotFound for a file that it lacks."""
        store_id, now = new_id("vs_"), int(time.time())
        with writing(self._engine).begin() as connection:
            connection.execute(
                sa.insert(_stores).values(
                    id=store_id,
                    tenant=by.tenant,
                    name=name,
                    description=description,
                    metadata=dict(metadata),
                    expires_days=expires_days,
                    created_at=now,
                    last_active_at=now,
                    generation=0,
                    provider=self._provider,
                )
            )
            note(connection, by, Line("knowledge.create", store_id))
            self._put(connection, by, store_id, attachments, None)
        self._wake()
        return self.get(store_id)

    def get(self, store_id: str) -> Row:
        """Raises NotFound."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(_stores).where(_stores.c.id == store_id)).mappings().first()
        if row is None:
            raise no_store(store_id)
        return dict(row)

    def list(self, tenant: str, shared: Collection[str], page: Page) -> tuple[Sequence[Row], bool]:
        """One page of the tenant's stores and those `shared` with it, and whether there are more."""
        wanted = sa.select(_stores).where(sa.or_(_stores.c.tenant == tenant, _stores.c.id.in_(shared)))
        with self._engine.connect() as connection:
            return page_of(connection, wanted, _stores.c.id, page)

    def named(self, tenant: str, names: Sequence[str]) -> builtins.list[str]:
        """The ids of the tenant's stores called, or identified as, `names`; of equal names the newest. Unknown
        names are left out. A store that is shared with the tenant goes by its id alone: its name is another's choice.
        """
        columns = _stores.c
        query = sa.select(columns.id, columns.name, columns.tenant)
        query = query.where(sa.or_(columns.tenant == tenant, columns.id.in_(shared_with(tenant))))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(columns.id)).all()
        own = {row.name: row.id for row in rows if row.name and row.tenant == tenant}
        known = own | {row.id: row.id for row in rows}
        return list(dict.fromkeys(known[name] for name in names if name in known))

    def update(self, store_id: str, values: Mapping[str, Any], by: Actor) -> Row:
        """Change columns of a store."""
        if values:
            with writing(self._engine).begin() as connection:
                connection.execute(sa.update(_stores).where(_stores.c.id == store_id).values(dict(values)))
                note(connection, by, Line("knowledge.change", store_id, detail=" ".join(values)))
        return self.get(store_id)

    def touch(self, store_ids: Sequence[str]) -> None:
        """Say that the stores were used just now; at most once a minute each, for a search should not write."""
        now = int(time.time())
        due = (_stores.c.id.in_(store_ids), _stores.c.last_active_at < now - 60)
        with self._engine.connect() as connection:
            if connection.execute(sa.select(_stores.c.id).where(*due)).first() is None:
                return
        with writing(self._engine).begin() as connection:
            connection.execute(sa.update(_stores).where(*due).values(last_active_at=now))

    def delete(self, store_id: str, by: Actor) -> None:
        """Remove a store with its passages; its files stay."""
        with self._shelf.changing([store_id]):
            with writing(self._engine).begin() as connection:
                gone = connection.execute(sa.delete(_stores).where(_stores.c.id == store_id))
                if gone.rowcount:  # another request may have been first
                    note(connection, by, Line("knowledge.delete", store_id))
            self._shelf.drop(store_id)

    def counts(self, store_ids: Sequence[str]) -> dict[str, dict[str, int]]:
        """Per store, how many files have each status, and their bytes as `usage`."""
        return self._counts(_entries.c.store_id, store_ids)

    def batch_counts(self, batch_id: str) -> dict[str, int]:
        """How many files of a batch have each status."""
        return self._counts(_entries.c.batch_id, [batch_id])[batch_id]

    def _counts(self, column: sa.Column[Any], ids: Sequence[str]) -> dict[str, dict[str, int]]:
        result = {each: dict.fromkeys((*STATUSES, "total", "usage"), 0) for each in ids}
        query = (
            sa.select(column, _entries.c.status, sa.func.count(), sa.func.sum(_entries.c.usage_bytes))
            .where(column.in_(ids))
            .group_by(column, _entries.c.status)
        )
        with self._engine.connect() as connection:
            for key, status, count, usage in connection.execute(query):
                result[key][status] += count
                result[key]["total"] += count
                result[key]["usage"] += int(usage or 0)
        return result

    def attach(self, by: Actor, store_id: str, attachment: Attachment) -> Row:
        """Put a file into a store; ingestion begins. One that is there is read anew only if it had failed."""
        with writing(self._engine).begin() as connection:
            self._put(connection, by, store_id, [attachment], None)
        self._wake()
        return self.entry(store_id, attachment.file_id)

    def attach_batch(self, by: Actor, store_id: str, attachments: Sequence[Attachment]) -> Row:
        """Put many files into a store as one batch."""
        batch_id = new_id("vsfb_")
        with writing(self._engine).begin() as connection:
            connection.execute(
                sa.insert(_batches).values(
                    id=batch_id, store_id=store_id, created_at=int(time.time()), cancelled=False
                )
            )
            self._put(connection, by, store_id, attachments, batch_id)
        self._wake()
        return self.batch(store_id, batch_id)

    def _put(
        self,
        connection: Connection,
        by: Actor,
        store_id: str,
        attachments: Sequence[Attachment],
        batch_id: str | None,
    ) -> None:
        files = tables.files.c
        wanted = [each.file_id for each in attachments]
        owned = set(
            connection.execute(
                sa.select(files.id).where(files.tenant == by.tenant, files.id.in_(wanted))
            ).scalars()
        )
        if missing := [each for each in wanted if each not in owned]:
            raise NotFound(
                f"There is no file `{missing[0]}`; upload it with `POST /v1/files` first.", param="file_id"
            )
        for each in attachments:
            key = (_entries.c.store_id == store_id, _entries.c.file_id == each.file_id)
            known = connection.execute(sa.select(_entries.c.status).where(*key)).scalar()
            values: dict[str, Any] = {"attributes": dict(each.attributes)}
            if each.replaces is not None:
                before = _replaced(connection, store_id, each, known)
                values = {"attributes": before | values["attributes"], "replaces": each.replaces}
            if batch_id is not None:
                values["batch_id"] = batch_id
            if known not in ("completed", "in_progress"):
                values |= {
                    "status": "in_progress",
                    "error_code": None,
                    "error_message": None,
                    "progress": None,
                    "chunk_size": each.chunk_size,
                    "chunk_overlap": each.chunk_overlap,
                }
            if known is None:
                values |= {
                    "store_id": store_id,
                    "file_id": each.file_id,
                    "created_at": int(time.time()),
                    "usage_bytes": 0,
                }
                connection.execute(sa.insert(_entries).values(values))
            else:
                connection.execute(sa.update(_entries).where(*key).values(values))
        told = [
            Line("knowledge.attach", store_id, each.file_id, each.replaces and f"replaces {each.replaces}")
            for each in attachments
        ]
        note(connection, by, *told)

    def entry(self, store_id: str, file_id: str) -> Row:
        """A file in a store. Raises NotFound."""
        query = _NAMED_ENTRIES.where(_entries.c.store_id == store_id, _entries.c.file_id == file_id)
        with self._engine.connect() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            raise no_entry(store_id, file_id)
        return dict(row)

    def entries(
        self, store_id: str, page: Page, status: str | None, batch_id: str | None = None
    ) -> tuple[Sequence[Row], bool]:
        """One page of a store's (or of one batch's) files, and whether there are more."""
        query = _NAMED_ENTRIES.where(_entries.c.store_id == store_id)
        if status is not None:
            query = query.where(_entries.c.status == status)
        if batch_id is not None:
            query = query.where(_entries.c.batch_id == batch_id)
        with self._engine.connect() as connection:
            return page_of(connection, query, _entries.c.file_id, page)

    def describe(self, store_id: str, file_id: str, attributes: Mapping[str, Any], by: Actor) -> Row:
        """Replace the attributes of a file in a store."""
        with writing(self._engine).begin() as connection:
            connection.execute(
                sa.update(_entries)
                .where(_entries.c.store_id == store_id, _entries.c.file_id == file_id)
                .values(attributes=dict(attributes))
            )
            note(connection, by, Line("knowledge.change", store_id, file_id, "attributes"))
        return self.entry(store_id, file_id)

    def detach(self, store_id: str, file_id: str, by: Actor) -> None:
        """Take a file out of a store, with its passages; the file stays. Raises NotFound."""
        self.entry(store_id, file_id)
        with self._shelf.changing([store_id]) as indexes:
            with writing(self._engine).begin() as connection:
                gone = connection.execute(
                    sa.delete(_entries).where(_entries.c.store_id == store_id, _entries.c.file_id == file_id)
                )
                if gone.rowcount:
                    note(connection, by, Line("knowledge.detach", store_id, file_id))
                bump(connection, store_id)
            for index in indexes.values():
                index.remove(file_id)
                index.generation += 1

    def batch(self, store_id: str, batch_id: str) -> Row:
        """Raises NotFound."""
        query = sa.select(_batches).where(_batches.c.id == batch_id, _batches.c.store_id == store_id)
        with self._engine.connect() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            raise NotFound(
                f"There is no file batch `{batch_id}` in the vector store `{store_id}`.", param="batch_id"
            )
        return dict(row)

    def cancel(self, store_id: str, batch_id: str, by: Actor) -> Row:
        """Stop what of a batch is still to be read; what is done stays."""
        self.batch(store_id, batch_id)
        with writing(self._engine).begin() as connection:
            connection.execute(sa.update(_batches).where(_batches.c.id == batch_id).values(cancelled=True))
            connection.execute(
                sa.update(_entries)
                .where(_entries.c.batch_id == batch_id, _entries.c.status == "in_progress")
                .values(status="cancelled")
            )
            note(connection, by, Line("knowledge.change", store_id, batch_id, "cancel"))
        return self.batch(store_id, batch_id)

    def rebuild(self, store_id: str, by: Actor) -> None:
        """Read, split and embed every file of a store anew, with the embedding model that runs now."""
        passages = tables.passages
        with self._shelf.changing([store_id]):
            with writing(self._engine).begin() as connection:
                connection.execute(sa.delete(passages).where(passages.c.store_id == store_id))
                connection.execute(
                    sa.update(_entries)
                    .where(_entries.c.store_id == store_id, _entries.c.status.in_(("completed", "failed")))
                    .values(
                        status="in_progress",
                        error_code=None,
                        error_message=None,
                        progress=None,
                        usage_bytes=0,
                    )
                )
                connection.execute(
                    sa.update(_stores).where(_stores.c.id == store_id).values(fingerprint=None)
                )
                bump(connection, store_id)
                note(connection, by, Line("knowledge.change", store_id, detail="rebuild"))
            self._shelf.drop(store_id)
        self._wake()

    def expire(self) -> None:
        """Take the files out of the stores whose time is over; the stores stay, as `expired`."""
        over = _stores.c.last_active_at + _stores.c.expires_days * DAY <= int(time.time())
        filled = sa.exists().where(_entries.c.store_id == _stores.c.id)
        with self._engine.connect() as connection:
            due = connection.execute(sa.select(_stores.c.id, _stores.c.tenant).where(over, filled)).all()
        for store_id, tenant in due:
            with self._shelf.changing([store_id]):
                with writing(self._engine).begin() as connection:
                    connection.execute(sa.delete(_entries).where(_entries.c.store_id == store_id))
                    bump(connection, store_id)
                    note(connection, Actor(tenant), Line("knowledge.detach", store_id))
                self._shelf.drop(store_id)


def _replaced(
    connection: Connection, store_id: str, attachment: Attachment, known: str | None
) -> dict[str, Any]:
    """The attributes of the file that is to be replaced, save its encoding. Raises NotFound where there is none, and
    Conflict where the new one stands in the store already and is not read anew."""
    if known == "completed" or attachment.file_id == attachment.replaces:
        raise Conflict(
            f"The file `{attachment.file_id}` stands in `{store_id}` already; upload the new one with "
            "`POST /v1/files`, or take the old one out.",
            param="file_id",
        )
    there = (_entries.c.store_id == store_id, _entries.c.file_id == attachment.replaces)
    row = connection.execute(sa.select(_entries.c.attributes).where(*there)).first()
    if row is None:
        raise no_entry(store_id, attachment.replaces or "", "replaces")
    return {name: value for name, value in row.attributes.items() if name != "encoding"}


def no_entry(store_id: str, file_id: str, param: str = "file_id") -> NotFound:
    """What is said of a file that does not stand in a store."""
    return NotFound(f"There is no file `{file_id}` in the vector store `{store_id}`.", param=param)


def bump(connection: Connection, store_id: str) -> None:
    """Count a change to a store's passages."""
    connection.execute(
        sa.update(_stores).where(_stores.c.id == store_id).values(generation=_stores.c.generation + 1)
    )


def expires_at(store: Mapping[str, Any]) -> int | None:
    """When a store's time is over: so many days after it was last used."""
    days = store["expires_days"]
    return None if days is None else int(store["last_active_at"]) + days * DAY


def refuse_expired(store: Mapping[str, Any]) -> None:
    """Raises InvalidRequest when a store's time is over."""
    end = expires_at(store)
    if end is not None and end <= time.time():
        raise InvalidRequest(
            f"The vector store `{store['id']}` has expired; create another and attach the files again.",
            param="vector_store_id",
        )


def no_store(store_id: str) -> NotFound:
    """What is said of a store that is not there, and of one that the asker may not know of: the same."""
    return NotFound(
        f"There is no vector store `{store_id}`; list yours with `GET /v1/vector_stores`.",
        param="vector_store_id",
    )
