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

_table = sa.Table(
    "adapter_gateway",
    sa.MetaData(),
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("seen", sa.String(32), nullable=False),
    sa.Column("busy", sa.Text, nullable=False),  # JSON: what is in flight
    sa.Column("used", sa.Text, nullable=False),  # JSON: when what was last asked for, Unix seconds
    sa.Column("at", sa.Float, nullable=False),
)


def _create(connection: Connection) -> None:
    _table.create(connection)


STEPS = [_create]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another gateway that lives: the state that it goes by, the revisions that it has in flight, and when each was
    last asked for there."""

    seen: str
    busy: frozenset[str]
    used: Mapping[str, float]


class Peers:
    """This gateway, known as `identity`, among the others."""

    def __init__(self, engine: Engine, identity: str) -> None:
        migrate(engine, "peers", STEPS)
        self._engine = engine
        self._identity = identity
        self._told: tuple[str, frozenset[str]] | None = None
        self._at = 0.0

    async def tell(self, seen: str, busy: frozenset[str], used: Mapping[str, float]) -> None:
        """Tell the others, if it is news or they might take us for dead."""
        if (seen, busy) == self._told and time.monotonic() - self._at < TELL_SECONDS:
            return
        await asyncio.to_thread(self._write, seen, orjson.dumps(sorted(busy)), orjson.dumps(dict(used)))
        self._told, self._at = (seen, busy), time.monotonic()

    def others(self) -> Sequence[Peer]:
        """The other gateways that live."""
        with self._engine.begin() as connection:
            since = now(connection) - GONE_SECONDS
            alive = sa.and_(_table.c.id != self._identity, _table.c.at > since)
            rows = connection.execute(sa.select(_table).where(alive)).all()
        return [Peer(row.seen, frozenset(orjson.loads(row.busy)), orjson.loads(row.used)) for row in rows]

    def leave(self) -> None:
        """Nobody needs to wait for this one any more."""
        with writing(self._engine).begin() as connection:
            connection.execute(sa.delete(_table).where(_table.c.id == self._identity))

    def _write(self, seen: str, busy: bytes, used: bytes) -> None:
        with writing(self._engine).begin() as connection:
            present = now(connection)
            row = {"seen": seen, "busy": busy.decode(), "used": used.decode(), "at": present}
            mine = _table.c.id == self._identity
            if not connection.execute(sa.update(_table).where(mine).values(row)).rowcount:
                connection.execute(sa.insert(_table).values(id=self._identity, **row))
                # Whoever comes tidies up after those that left without a word.
                connection.execute(sa.delete(_table).where(_table.c.at < present - 60))
