"""Who beside its own tenant may read a knowledge base, or add files to it and remove them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Engine

from praxis.audit import Actor, Line, note
from praxis.errors import NotFound
from praxis.state import writing
from rag import tables

Right = Literal["read", "write"]

_shares = tables.shares


@dataclass(frozen=True, slots=True)
class Grantee:
    """With whom a store is shared: a `tenant` by its name, or one `key` by its id."""

    kind: Literal["tenant", "key"]
    name: str


class Shares:
    """The shares of all stores. Only this process changes them, and every question asks for them anew.

    `withdrawn` counts how often one was taken back or made less, so that whoever goes by one for a while notices.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.withdrawn = 0

    def grant(self, store_id: str, grantee: Grantee, right: Right, by: Actor) -> Mapping[str, Any]:
        """Share a store, in place of what the grantee could do with it before."""
        values = {"may": right, "granted_by": by.key_id, "created_at": int(time.time())}
        with writing(self._engine).begin() as connection:
            changed = connection.execute(sa.update(_shares).where(*_of(store_id, grantee)).values(values))
            if not changed.rowcount:
                values |= {"store_id": store_id, "kind": grantee.kind, "grantee": grantee.name}
                connection.execute(sa.insert(_shares).values(values))
            row = connection.execute(sa.select(_shares).where(*_of(store_id, grantee))).mappings().one()
            note(connection, by, Line("knowledge.share", store_id, grantee.name, right))
        if right == "read":
            self.withdrawn += 1
        return dict(row)

    def withdraw(self, store_id: str, grantee: Grantee, by: Actor) -> None:
        """End a share. Raises NotFound where there is none."""
        with writing(self._engine).begin() as connection:
            ended = connection.execute(sa.delete(_shares).where(*_of(store_id, grantee)))
            if ended.rowcount:
                note(connection, by, Line("knowledge.unshare", store_id, grantee.name))
        if not ended.rowcount:
            raise NotFound(
                f"`{store_id}` is not shared with the {grantee.kind} `{grantee.name}`; "
                f"`GET /v1/vector_stores/{store_id}/shares` lists its shares.",
                param=grantee.kind,
            )
        self.withdrawn += 1

    def of(self, store_id: str) -> Sequence[Mapping[str, Any]]:
        """The shares of a store, oldest first."""
        query = sa.select(_shares).where(_shares.c.store_id == store_id)
        with self._engine.connect() as connection:
            ordered = query.order_by(_shares.c.created_at, _shares.c.kind, _shares.c.grantee)
            return [dict(row) for row in connection.execute(ordered).mappings()]

    def held(self, tenant: str, key: str) -> Mapping[str, Right]:
        """What a key may do with each store that is shared with it or its tenant: the more of the two."""
        query = sa.select(_shares.c.store_id, _shares.c.may).where(_held(tenant, key))
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        # `read` sorts before `write`, so that the greater right stays.
        return {row.store_id: row.may for row in sorted(rows, key=lambda each: str(each.may))}


def shared_with(tenant: str) -> sa.Select[tuple[str]]:
    """The ids of the stores that are shared with a tenant."""
    return sa.select(_shares.c.store_id).where(_shares.c.kind == "tenant", _shares.c.grantee == tenant)


def _held(tenant: str, key: str) -> sa.ColumnElement[bool]:
    return sa.or_(
        sa.and_(_shares.c.kind == "tenant", _shares.c.grantee == tenant),
        sa.and_(_shares.c.kind == "key", _shares.c.grantee == key),
    )


def _of(store_id: str, grantee: Grantee) -> Sequence[sa.ColumnElement[bool]]:
    return _shares.c.store_id == store_id, _shares.c.kind == grantee.kind, _shares.c.grantee == grantee.name
