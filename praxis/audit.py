"""The audit trail: who added, read, asked and deleted what, by identifiers, in the state database.

A line is written in the transaction of the act that it tells, or for reading before anything is shown. So whenever a
process dies, what happened has its line and what did not happen has none. Lines are added and, when their time is over
or on an admin's request, deleted; nothing changes one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from praxis.state import Step, migrate, writing

PRAXIS = "praxis"
"""Stands in the place of a key where Praxis itself acts, as when a file's time is over."""

ALL = "*"
"""The object of an act on all that its tenant has, as of a search in its conversations."""

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")

_table = sa.Table(
    "audit",
    sa.MetaData(),
    sa.Column("id", _Id, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("action", sa.String(64), nullable=False),
    sa.Column("object", sa.Text, nullable=False),
    sa.Column("part", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Index("audit_at", "at"),
    sa.Index("audit_tenant", "tenant", "id"),
    sa.Index("audit_key", "key_id", "id"),
    sa.Index("audit_object", "object", "id"),
    sqlite_autoincrement=True,
)

_keys = sa.table("api_key", sa.column("id"), sa.column("name"))
"""What lines are read with. The table is that of `praxis.keys`, which writes lines itself."""


def _create(connection: Connection) -> None:
    _table.create(connection)


STEPS: Sequence[Step] = (_create,)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a key, by its id, of a tenant."""

    tenant: str
    key_id: str = PRAXIS


@dataclass(frozen=True, slots=True)
class Line:
    """One act. `object` is what it was done to (`vs_…`), `part` what of it or with it (`file-…`), `detail` what else
    identifies it: the model that was asked, the right that was given. Never content."""

    action: str
    object: str
    part: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are read; None is all. `key` is a name or an id, `action` may end in `*`, `object` may be a part.
    Times are Unix seconds."""

    key: str | None = None
    tenant: str | None = None
    action: str | None = None
    object: str | None = None
    since: float | None = None
    until: float | None = None


def prepare(engine: Engine) -> None:
    """Have the table there. For all who write lines within their own transactions."""
    migrate(engine, "audit", STEPS)


def note(connection: Connection, actor: Actor, *lines: Line) -> None:
    """Add lines inside the transaction of the act that they tell."""
    if lines:
        who = {"at": time.time(), "tenant": actor.tenant, "key_id": actor.key_id}
        connection.execute(sa.insert(_table), [who | asdict(each) for each in lines])


def erase(connection: Connection, *, tenant: str | None = None, key_id: str | None = None) -> int:
    """Delete the lines of what a tenant's keys, or one key, did, inside a transaction; how many there were."""
    mine = _table.c.tenant == tenant if tenant is not None else _table.c.key_id == key_id
    return connection.execute(sa.delete(_table).where(mine)).rowcount


def forget(connection: Connection, before: float, limit: int) -> int:
    """Delete the oldest lines from before that time (Unix seconds), inside a transaction; how many there were."""
    oldest = sa.select(_table.c.id).where(_table.c.at < before).order_by(_table.c.at).limit(limit)
    return connection.execute(sa.delete(_table).where(_table.c.id.in_(oldest))).rowcount


class Audit:
    """The audit trail in the state database."""

    def __init__(self, engine: Engine) -> None:
        prepare(engine)
        self._engine = engine

    def add(self, actor: Actor, *lines: Line) -> None:
        """Add lines of what no transaction does: before something is shown, or work begins."""
        with writing(self._engine).begin() as connection:
            note(connection, actor, *lines)

    def read(
        self, wanted: Wanted, limit: int, after: int | None = None
    ) -> tuple[Sequence[Mapping[str, Any]], bool]:
        """The latest lines first, those before the line `after`; and whether there are more. Keys have their names."""
        query = (
            sa.select(_table, _keys.c.name.label("key"))
            .outerjoin(_keys, _keys.c.id == _table.c.key_id)
            .where(*_conditions(wanted))
            .order_by(_table.c.id.desc())
        )
        if after is not None:
            query = query.where(_table.c.id < after)
        with self._engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(query.limit(limit + 1)).mappings()]
        return rows[:limit], len(rows) > limit


def _conditions(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    columns, found = _table.c, list[sa.ColumnElement[bool]]()
    if wanted.key is not None:
        named = sa.select(_keys.c.id).where(_keys.c.name == wanted.key)
        found.append(sa.or_(columns.key_id == wanted.key, columns.key_id.in_(named)))
    if wanted.tenant is not None:
        found.append(columns.tenant == wanted.tenant)
    if wanted.action is not None:
        exact = not wanted.action.endswith("*")
        begins = columns.action.startswith(wanted.action[:-1], autoescape=True)
        found.append(columns.action == wanted.action if exact else begins)
    if wanted.object is not None:
        found.append(sa.or_(columns.object == wanted.object, columns.part == wanted.object))
    if wanted.since is not None:
        found.append(columns.at >= wanted.since)
    if wanted.until is not None:
        found.append(columns.at < wanted.until)
    return found
