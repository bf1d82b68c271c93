"""What the gateways of one state database tell each other about adapters: which state each goes by, and which revisions
it still has requests in flight on. So a revision is taken out of engines only when nobody uses it any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from gateway.adapters.lease import now
from praxis.state import migrate, writing

TELL_SECONDS = 1.5
GONE_SECONDS = 5.0
"""A gateway that has told nothing for so long is dead, or as good as."""

_first = sa.Table(
    "adapter_gateway",
    sa.MetaData(),
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("seen", sa.String(32), nullable=False),
    sa.Column("busy", sa.Text, nullable=False),
    sa.Column("used", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
)

_table = sa.Table(
    "adapter_gateway",
    sa.MetaData(),
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("seen", sa.String(32), nullable=False),
    # JSON: what is in flight; when what was last asked for, Unix seconds; which places are closed and seen to be closed
    sa.Column("busy", sa.Text, nullable=False),
    sa.Column("used", sa.Text, nullable=False),
    sa.Column("closing", sa.Text, nullable=False),
    sa.Column("shut", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
)


def _create(connection: Connection) -> None:
    _first.create(connection)


def _tell_of_closing(connection: Connection) -> None:
    for name in ("closing", "shut"):
        connection.execute(
            sa.text(f"alter table adapter_gateway add column {name} text not null default '[]'")
        )


STEPS = [_create, _tell_of_closing]


@dataclass(frozen=True, slots=True)
class Place:
    """A revision at a replica, to which no gateway is to send requests any more, for it is about to leave."""

    upstream: str
    url: str


@dataclass(frozen=True, slots=True)
class Peer:
    """Another gateway that lives: the state that it goes by, the revisions that it has in flight, when each was last asked for
    there, the places that it closes, and those closed by others that it sends nothing to any more."""

    seen: str
    busy: frozenset[str]
    used: Mapping[str, float]
    closing: frozenset[Place]
    shut: frozenset[Place]


class Peers:
    """This gateway, known as `identity`, among the others."""

    def __init__(self, engine: Engine, identity: str) -> None:
        migrate(engine, "peers", STEPS)
        self._engine = engine
        self._identity = identity
        self._told: object = None
        self._at = 0.0
        self.closing: frozenset[Place] = frozenset()
        self.shut: frozenset[Place] = frozenset()

    async def tell(self, seen: str, busy: frozenset[str], used: Mapping[str, float]) -> None:
        """Tell the others, if it is news or they might take us for dead."""
        news = (seen, busy, self.closing, self.shut)
        if news == self._told and time.monotonic() - self._at < TELL_SECONDS:
            return
        row = {
            "seen": seen,
            "busy": orjson.dumps(sorted(busy)).decode(),
            "used": orjson.dumps(dict(used)).decode(),
            "closing": _written(self.closing),
            "shut": _written(self.shut),
        }
        await asyncio.to_thread(self._write, row)
        self._told, self._at = news, time.monotonic()

    def others(self) -> Sequence[Peer]:
        """The other gateways that live."""
        with self._engine.begin() as connection:
            since = now(connection) - GONE_SECONDS
            alive = sa.and_(_table.c.id != self._identity, _table.c.at > since)
            rows = connection.execute(sa.select(_table).where(alive)).all()
        return [
            Peer(
                row.seen,
                frozenset(orjson.loads(row.busy)),
                orjson.loads(row.used),
                _read(row.closing),
                _read(row.shut),
            )
            for row in rows
        ]

    def leave(self) -> None:
        """Nobody needs to wait for this one any more."""
        with writing(self._engine).begin() as connection:
            connection.execute(sa.delete(_table).where(_table.c.id == self._identity))

    def _write(self, row: Mapping[str, str]) -> None:
        with writing(self._engine).begin() as connection:
            present = now(connection)
            told = {**row, "at": present}
            mine = _table.c.id == self._identity
            if not connection.execute(sa.update(_table).where(mine).values(told)).rowcount:
                connection.execute(sa.insert(_table).values(id=self._identity, **told))
                # Whoever comes tidies up after those that left without a word.
                connection.execute(sa.delete(_table).where(_table.c.at < present - 60))


def _written(places: frozenset[Place]) -> str:
    return orjson.dumps(sorted([each.upstream, each.url] for each in places)).decode()


def _read(text: str) -> frozenset[Place]:
    return frozenset(Place(upstream, url) for upstream, url in orjson.loads(text))
