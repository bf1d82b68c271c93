"""Moving knowledge bases' vectors from where they are to another place, while they are searched and changed.

What is to be moved stands in the database, so that a move that was cut short goes on at the next start, and one whose
target is away waits for it. The old place holds its vectors, and answers from them, until the new one was verified.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from praxis.audit import Actor, Line, note
from praxis.errors import InvalidRequest, PraxisError
from praxis.state import writing
from rag import tables
from rag.index.places.place import Away
from rag.index.shelf import EMBEDDED, Shelf

logger = logging.getLogger("praxis.rag")

_RETRY_SECONDS = 1.0
_stores = tables.stores


class _Stopping(Exception):
    """The process ends; the move goes on at the next start."""


class Migrations:
    """The moves of all stores, one after another, by one thread that runs from `begin` to `stop`."""

    def __init__(self, engine: Engine, shelf: Shelf) -> None:
        self._engine = engine
        self._shelf = shelf
        self._done: dict[str, int] = {}
        self._awake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="migrations", daemon=True)

    def begin(self) -> None:
        """Take up what the last process left, and what comes."""
        self._thread.start()

    def stop(self) -> None:
        """End the work, if there is any, and wait for that."""
        self._stopping.set()
        self._awake.set()
        if self._thread.is_alive():
            self._thread.join()

    def start(self, store_id: str, target: str, by: Actor) -> None:
        """Have a store's vectors moved to `target`; one that is there already stays. Raises InvalidRequest."""
        self._mark(target, _stores.c.id == store_id, by)

    def start_all(self, target: str, by: Actor) -> None:
        """Have the vectors of every store of the library moved to `target`. Raises InvalidRequest."""
        self._mark(target, sa.true(), by)

    def describe(self, store: Mapping[str, Any]) -> dict[str, Any]:
        """Where a store's vectors are, and how far they are on their way."""
        told: dict[str, Any] = {
            "object": "vector_store.migration",
            "vector_store_id": store["id"],
            "provider": store["provider"] or EMBEDDED,
        }
        if store["moving"]:
            told |= {"status": "in_progress", "to": store["moving"], "done": self._done.get(store["id"], 0)}
            return told | {"total": self._shelf.size(store["id"])}
        return told | (store["moved"] or {"status": "none"})

    def describe_all(self) -> list[dict[str, Any]]:
        """The same of every store of the library."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(_stores).order_by(_stores.c.id)).mappings().all()
        return [self.describe(dict(row)) for row in rows]

    def _mark(self, target: str, which: sa.ColumnElement[bool], by: Actor) -> None:
        if target not in self._shelf.providers:
            known = ", ".join(f"`{each}`" for each in self._shelf.providers)
            raise InvalidRequest(
                f"`to` must be one of {known}; write `rag.vector_store.{target}` into models.yaml for another.",
                param="to",
            )
        elsewhere = sa.func.coalesce(_stores.c.provider, EMBEDDED) != target
        heading = sa.func.coalesce(_stores.c.moving, _stores.c.provider, EMBEDDED)
        with writing(self._engine).begin() as connection:
            turned = sa.select(_stores.c.id).where(which, heading != target).order_by(_stores.c.id)
            for store_id in connection.execute(turned).scalars().all():
                note(connection, by, Line("knowledge.migrate", store_id, None, f"to {target}"))
            connection.execute(sa.update(_stores).where(which, elsewhere).values(moving=target, moved=None))
            # Whoever changes his mind, or asks for where it is, has nothing moved.
            connection.execute(sa.update(_stores).where(which, ~elsewhere).values(moving=None, moved=None))
        self._awake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._awake.clear()
            try:
                waiting = [self._take(*each) for each in self._marked()]
            except _Stopping:
                return
            except Exception:  # the edge of a thread: the state may be away for a moment
                logger.exception("moving vectors stopped and begins again")
                waiting = [True]
            self._awake.wait(_RETRY_SECONDS if any(waiting) else None)

    def _marked(self) -> list[tuple[str, str]]:
        query = sa.select(_stores.c.id, _stores.c.moving).where(_stores.c.moving.is_not(None))
        with self._engine.connect() as connection:
            return [(row.id, row.moving) for row in connection.execute(query.order_by(_stores.c.id))]

    def _take(self, store_id: str, target: str) -> bool:
        """Move one store; whether it has to wait for its target."""
        began = time.monotonic()
        facts = {"store": store_id, "to": target}
        try:
            report = self._shelf.move(store_id, target, self._told(store_id))
            if report is not None:
                logger.info("vectors moved", extra=facts | report | {"seconds": _seconds(began)})
        except Away:
            return True
        except PraxisError as error:
            logger.warning("vectors not moved", extra=facts | {"reason": error.message})
            self._fail(store_id, target, error.code, error.message)
        finally:
            self._done.pop(store_id, None)
        return False

    def _told(self, store_id: str) -> Callable[[int], None]:
        def told(done: int) -> None:
            if self._stopping.is_set():
                raise _Stopping
            self._done[store_id] = done

        return told

    def _fail(self, store_id: str, target: str, code: str | None, message: str) -> None:
        error = {"code": code or "server_error", "message": message}
        values = {"moving": None, "moved": {"status": "failed", "to": target, "last_error": error}}
        with writing(self._engine).begin() as connection:
            connection.execute(sa.update(_stores).where(_stores.c.id == store_id).values(values))


def _seconds(began: float) -> float:
    return round(time.monotonic() - began, 1)
