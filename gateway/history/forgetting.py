"""What was asked, answered and judged is forgotten: when its time is over, and at once when an admin asks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from gateway.history.tables import STEPS, conversations, items, votes
from praxis import audit
from praxis.audit import ALL, Actor, Line, note
from praxis.config import Retention
from praxis.errors import Overloaded
from praxis.keys import ITSELF
from praxis.state import migrate, scrub, writing

logger = logging.getLogger("praxis.gateway.forgetting")

DAY = 86_400
ROUND_SECONDS = 60.0
AT_ONCE = 500
"""Rows deleted in one transaction, so that nobody waits long for it."""


@dataclass(frozen=True, slots=True)
class Erased:
    """How many rows were erased; `items` are the questions and answers of the `conversations`."""

    conversations: int
    items: int
    votes: int
    audit: int


class Forgetting:
    """Deletes from the history and the audit trail by the periods of `retention`, which are looked at anew each round.

    Every gateway process looks. Who finds something first deletes it: rows are locked, so each goes once and with one
    line in the audit trail.
    """

    def __init__(self, engine: Engine, retention: Callable[[], Retention]) -> None:
        migrate(engine, "conversations", STEPS)
        audit.prepare(engine)
        self._engine = engine
        self._retention = retention
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """The periods may have changed: do not wait for the next round."""
        self._changed.set()

    async def run(self) -> None:
        """Delete what is over, until cancelled."""
        while True:
            self._changed.clear()
            try:
                await asyncio.to_thread(self._round, self._retention(), time.time())
            except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:
                logger.error(
                    "what is over was not deleted; it is tried again", extra={"reason": type(error).__name__}
                )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), ROUND_SECONDS)

    def erase(self, by: Actor, *, tenant: str | None = None, key_id: str | None = None) -> Erased:
        """Delete all of a tenant, or of a key (the conversations that it began, its votes, what it did), at once.

        Raises Overloaded where it is deleted, but remains of it may still stand in SQLite's file.
        """
        with writing(self._engine).begin() as connection:
            if tenant is not None:
                begun, judged = conversations.c.tenant == tenant, votes.c.tenant == tenant
            else:
                begun, judged = conversations.c.key_id == key_id, votes.c.key_id == key_id
            mine = sa.select(conversations.c.id).where(begun)
            cast = connection.execute(
                sa.delete(votes).where(sa.or_(judged, votes.c.conversation_id.in_(mine)))
            )
            said = connection.execute(sa.delete(items).where(items.c.conversation_id.in_(mine)))
            held = connection.execute(sa.delete(conversations).where(begun))
            lines = audit.erase(connection, tenant=tenant, key_id=key_id)
            erased = Erased(held.rowcount, said.rowcount, cast.rowcount, lines)
            told = " ".join(f"{name}={getattr(erased, name)}" for name in Erased.__dataclass_fields__)
            note(connection, by, Line("history.erase", tenant or key_id or "", detail=told))
        try:
            scrub(self._engine, whole=True)
        except sqlite3.OperationalError as error:
            raise Overloaded(
                f"All of it was deleted, but the database's file could not be rewritten without it ({error}); "
                "ask again, for nothing is lost by that.",
                retry_after=30,
            ) from error
        return erased

    def _round(self, retention: Retention, now: float) -> None:
        if retention.conversations is not None:
            self._over(_conversations, now - retention.conversations * DAY)
        if retention.votes is not None:
            self._over(_votes, now - retention.votes * DAY)
        if retention.audit is not None:
            self._over(_lines, now - retention.audit * DAY)
        # What people deleted themselves since the last round leaves the files now too.
        scrub(self._engine)

    def _over(self, delete: Callable[[Connection, float], int], before: float) -> None:
        """Have `delete` delete until there is nothing left from `before`."""
        while True:
            with writing(self._engine).begin() as connection:
                if delete(connection, before) < AT_ONCE:
                    return


def _conversations(connection: Connection, before: float) -> int:
    """Delete conversations last used before that time, with what was said and judged in them."""
    columns = conversations.c
    due = sa.select(columns.id, columns.tenant).where(columns.updated_at < before).limit(AT_ONCE)
    rows = connection.execute(due.with_for_update(skip_locked=True)).all()
    connection.execute(sa.delete(conversations).where(columns.id.in_([row.id for row in rows])))
    _note(connection, [(row.tenant, Line("conversation.delete", row.id)) for row in rows])
    return len(rows)


def _votes(connection: Connection, before: float) -> int:
    """Delete votes cast before that time."""
    columns = votes.c
    due = sa.select(columns.id, columns.tenant, columns.conversation_id).where(columns.created_at < before)
    rows = connection.execute(due.limit(AT_ONCE).with_for_update(skip_locked=True)).all()
    connection.execute(sa.delete(votes).where(columns.id.in_([row.id for row in rows])))
    _note(connection, [(row.tenant, Line("vote.delete", row.id, row.conversation_id)) for row in rows])
    return len(rows)


def _lines(connection: Connection, before: float) -> int:
    """Delete audit lines from before that time; one line says how many, of all tenants."""
    gone = audit.forget(connection, before, AT_ONCE)
    if gone:
        until = datetime.fromtimestamp(before, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        note(connection, ITSELF, Line("audit.delete", ALL, detail=f"{gone} until {until}"))
    return gone


def _note(connection: Connection, lines: list[tuple[str, Line]]) -> None:
    of: defaultdict[str, list[Line]] = defaultdict(list)
    for tenant, line in lines:
        of[tenant].append(line)
    for tenant, each in of.items():
        note(connection, Actor(tenant), *each)
