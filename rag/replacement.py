"""A file that takes the place of another in a store: the old one answers until the new one is read, then it is gone.

The exchange is part of the transaction that makes the new file's passages visible, so no search finds both or neither,
whatever ends the process, and a new file that cannot be read changes nothing.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from praxis.audit import Actor, Line, note
from rag import tables
from rag.files import leave_over


def take_place(connection: Connection, store_id: str, file_id: str) -> tuple[str | None, bool]:
    """Take the file that `file_id` replaces out of the store. Returns its id, None where there is nothing to replace;
    and whether it was deleted for good, because it stood nowhere else and both are one tenant's."""
    entries, files, stores = tables.entries, tables.files, tables.stores
    here = entries.c.store_id == store_id
    old: str | None = connection.execute(
        sa.select(entries.c.replaces).where(here, entries.c.file_id == file_id)
    ).scalar()
    if old is None:
        return None, False
    connection.execute(sa.update(entries).where(here, entries.c.file_id == file_id).values(replaces=None))
    if not connection.execute(sa.delete(entries).where(here, entries.c.file_id == old)).rowcount:
        return None, False
    tenant = connection.execute(sa.select(stores.c.tenant).where(stores.c.id == store_id)).scalar_one()
    note(connection, Actor(tenant), Line("knowledge.detach", store_id, old, f"replaced by {file_id}"))
    owners = sa.select(files.c.id, files.c.tenant).where(files.c.id.in_((old, file_id)))
    owner = {row.id: row.tenant for row in connection.execute(owners)}
    elsewhere = sa.select(entries.c.store_id).where(entries.c.file_id == old).limit(1)
    if owner.get(old) != owner.get(file_id) or connection.execute(elsewhere).first():
        return old, False
    connection.execute(sa.delete(files).where(files.c.id == old))
    leave_over(connection, old)
    note(connection, Actor(owner[file_id]), Line("file.delete", old, None, f"replaced by {file_id}"))
    return old, True
