"""Cursor pages of lists, as OpenAI's: `limit`, `order`, `after`, `before`, and whether there is more."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection

Order = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for; `after` and `before` are ids of entries."""

    limit: int
    order: Order = "desc"
    after: str | None = None
    before: str | None = None


def page_of(
    connection: Connection, query: sa.Select[Any], key: sa.ColumnElement[str], page: Page
) -> tuple[Sequence[dict[str, Any]], bool]:
    """The rows of `query` on `page`, ordered by `key`, an id, and whether more follow.

    Ids begin with their time of creation (`new_id`), so their order is that of creation, and a cursor whose entry
    was deleted meanwhile still says where to go on.
    """
    up = page.order == "asc"
    if page.after is not None:
        query = query.where(key > page.after if up else key < page.after)
    if page.before is not None:
        query = query.where(key < page.before if up else key > page.before)
    # A page before a cursor is the nearest one to it, still told in the list's order.
    backwards = page.before is not None and page.after is None
    ordered = query.order_by(key.asc() if up is not backwards else key.desc())
    rows = [dict(row) for row in connection.execute(ordered.limit(page.limit + 1)).mappings()]
    more = len(rows) > page.limit
    rows = rows[: page.limit]
    return (rows[::-1] if backwards else rows), more


def new_id(prefix: str) -> str:
    """A fresh identifier that cannot be guessed and sorts by its time of creation."""
    return f"{prefix}{time.time_ns():016x}{secrets.token_hex(8)}"


def listing(data: Sequence[dict[str, Any]], more: bool) -> dict[str, Any]:
    """The list object of OpenAI."""
    return {
        "object": "list",
        "data": list(data),
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": more,
    }
