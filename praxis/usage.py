"""What was used: requests, errors and tokens by hour, key, tenant, model and adapter, in the state database.

Gateways add to it, each in batches of its own (`Usage.add`); commands and the admin API read it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from praxis.errors import InvalidRequest
from praxis.keys import key_names
from praxis.state import Step, migrate, writing

HOUR = 3_600
DAY = 86_400
DIMENSIONS = ("hour", "day", "key", "tenant", "model", "adapter")
"""What usage can be told by."""

_FORGET_WRITERS_AFTER = 7 * DAY
_ROWS_AT_ONCE = 500

_metadata = sa.MetaData()

_table = sa.Table(
    "usage",
    _metadata,
    sa.Column("hour", sa.BigInteger, primary_key=True),  # Unix seconds at which it begins
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, primary_key=True),  # as asked for
    sa.Column("adapter", sa.Text, primary_key=True),  # what answered: an adapter or a model of models.yaml
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("errors", sa.BigInteger, nullable=False),
    sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
    sa.Column("completion_tokens", sa.BigInteger, nullable=False),
)

_writers = sa.Table(
    "usage_writer",
    _metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("batch", sa.BigInteger, nullable=False),  # the last one that it added
    sa.Column("at", sa.Float, nullable=False),
)

_COUNTS = ("requests", "errors", "prompt_tokens", "completion_tokens")


def _create(connection: Connection) -> None:
    _metadata.create_all(connection)


STEPS: Sequence[Step] = (_create,)


class Bucket(NamedTuple):
    """What is counted together. `hour` is the Unix second at which the hour begins."""

    hour: int
    key_id: str
    tenant: str
    model: str
    adapter: str


class Counts(NamedTuple):
    """What was counted."""

    requests: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Usage:
    """The usage in the state database."""

    def __init__(self, engine: Engine) -> None:
        migrate(engine, "usage", STEPS)
        self._engine = engine

    def add(self, writer: str, batch: int, counted: Mapping[Bucket, Counts]) -> None:
        """Add a batch to what is there, once: one that was added already, though its writer never heard so, is not
        added again. Each writer counts its batches up."""
        insert = _upserting(self._engine)
        # In one order, so that writers who add to the same rows wait for each other and never in a circle.
        rows = [bucket._asdict() | counts._asdict() for bucket, counts in sorted(counted.items())]
        with writing(self._engine).begin() as connection:
            # Held until the end: the same batch may be on its way a second time, by a thread that nobody waits for.
            known = sa.select(_writers.c.batch).where(_writers.c.id == writer).with_for_update()
            last = connection.execute(known).scalar()
            if last is not None and last >= batch:
                return
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                statement = insert(_table).values(rows[start : start + _ROWS_AT_ONCE])
                added = {name: _table.c[name] + statement.excluded[name] for name in _COUNTS}
                connection.execute(
                    statement.on_conflict_do_update(index_elements=list(_table.primary_key), set_=added)
                )
            mark = {"batch": batch, "at": time.time()}
            if last is None:
                connection.execute(sa.insert(_writers).values(id=writer, **mark))
                old = _writers.c.at < time.time() - _FORGET_WRITERS_AFTER
                connection.execute(sa.delete(_writers).where(old))
            else:
                connection.execute(sa.update(_writers).where(_writers.c.id == writer).values(mark))

    def read(
        self,
        by: Sequence[str],
        *,
        since: float | None = None,
        until: float | None = None,
        key: str | None = None,
        tenant: str | None = None,
        model: str | None = None,
        adapter: str | None = None,
    ) -> list[dict[str, Any]]:
        """The usage from the hour of `since` to before `until`, told by the dimensions `by`: earliest first where
        they have a time, and then most tokens first. `key` is a name or an id.

        Raises InvalidRequest for what is no dimension.
        """
        for each in by:
            if each not in DIMENSIONS:
                raise InvalidRequest(
                    f"`{each}` is nothing to tell usage by; known are {', '.join(DIMENSIONS)}.", param="by"
                )
        names = key_names()
        columns = {
            "hour": _table.c.hour,
            "day": _table.c.hour - _table.c.hour % DAY,
            "key": _table.c.key_id,
            "tenant": _table.c.tenant,
            "model": _table.c.model,
            "adapter": _table.c.adapter,
        }
        chosen = [columns[each].label(each) for each in dict.fromkeys(by)]
        sums = [sa.cast(sa.func.sum(_table.c[name]), sa.BigInteger).label(name) for name in _COUNTS]
        query = sa.select(*chosen, *sums)
        if chosen:
            query = query.group_by(*(columns[each] for each in dict.fromkeys(by)))
        if since is not None:
            query = query.where(_table.c.hour >= since - since % HOUR)
        if until is not None:
            query = query.where(_table.c.hour < until)
        if key is not None:
            query = query.where(
                sa.or_(
                    _table.c.key_id == key,
                    _table.c.key_id.in_(sa.select(names.c.id).where(names.c.name == key)),
                )
            )
        for name, value in (("tenant", tenant), ("model", model), ("adapter", adapter)):
            if value is not None:
                query = query.where(columns[name] == value)
        with self._engine.connect() as connection:
            found = [dict(row) for row in connection.execute(query).mappings()]
            known = {row.id: row.name for row in connection.execute(sa.select(names))} if "key" in by else {}
        # Told by nothing, a database without usage answers with one row of nothing.
        return sorted((_told(row, known) for row in found if row["requests"] is not None), key=_order)


def _upserting(engine: Engine) -> Callable[[sa.Table], Any]:
    """The dialect's own INSERT, which knows ON CONFLICT. Only gateways add, so only they wait for the import."""
    if engine.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert
    from sqlalchemy.dialects import sqlite

    return sqlite.insert


def _told(row: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A row in the words of its reader: times as ISO 8601, keys by name with their id beside it."""
    told: dict[str, Any] = {}
    for name, value in row.items():
        if name in ("hour", "day"):
            form = "%Y-%m-%dT%H:00Z" if name == "hour" else "%Y-%m-%d"
            told[name] = datetime.fromtimestamp(value, UTC).strftime(form)
        elif name == "key":
            told |= {"key": names.get(value, value), "key_id": value}
        else:
            told[name] = value
    return told | {"total_tokens": row["prompt_tokens"] + row["completion_tokens"]}


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    times = [row[name] for name in ("hour", "day") if name in row]
    return (*times, -row["total_tokens"], -row["requests"], *(str(row.get(name)) for name in DIMENSIONS[2:]))
