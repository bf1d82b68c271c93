"""The editions of one law in a store: the newest in force answers, the others are kept, marked, and asked for by date."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from rag import tables

KEYS = frozenset(("version", "effective", "until", "superseded", "as_of"))
"""Attributes by which a search asks for editions; one that names none of them is answered by what is in force."""

Key = tuple[str, str]
"""A store's id and a file's."""


@dataclass(frozen=True, slots=True)
class Edition:
    """One file's edition of a law: since when it applies and, if another took its place, until when (ISO dates).

    `current` is whether it is the one in force today, or the only one that there is.
    """

    effective: str | None
    until: str | None
    current: bool

    def facts(self) -> dict[str, Any]:
        """What a passage's attributes say of it."""
        known = {"effective": self.effective, "until": self.until, "superseded": not self.current or None}
        return {name: value for name, value in known.items() if value is not None}


class Editions:
    """Which file of a store is which edition of its law."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, store_ids: Sequence[str]) -> dict[Key, Edition]:
        """The edition of each file in these stores that is a law."""
        entries = tables.entries.c
        query = sa.select(entries.store_id, entries.file_id, entries.edition).where(
            entries.store_id.in_(store_ids), entries.status == "completed", entries.edition.is_not(None)
        )
        with self._engine.connect() as connection:
            rows = [row for row in connection.execute(query) if row.edition]
        today = datetime.date.today().isoformat()

        def law(row: Any) -> tuple[str, str]:
            return row.store_id, row.edition["law"]

        found: dict[Key, Edition] = {}
        for _, same in groupby(sorted(rows, key=law), key=law):
            found |= _line({(each.store_id, each.file_id): each.edition for each in same}, today)
        return found


def _line(editions: Mapping[Key, Mapping[str, Any]], today: str) -> dict[Key, Edition]:
    """The editions of one law, in the order in which they came into force."""
    dates = {key: (each.get("effective") or "", each.get("version") or "") for key, each in editions.items()}
    order = sorted(set(dates.values()))
    following = dict(pairwise(order))
    current = max((each for each in order if each[0] <= today), default=order[0])
    return {
        key: Edition(date[0] or None, following[date][0] if date in following else None, date == current)
        for key, date in dates.items()
    }
