"""The editions of one law in a store: the newest in force answers, the others are kept, marked, and asked for by date.

A file may hold several laws, so an edition is not a file: it is the passages of a file that have one law and version.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy import Engine

from rag import tables

KEYS = frozenset(("version", "effective", "until", "superseded", "as_of"))
"""Attributes by which a search asks for editions; one that names none of them is answered by what is in force."""

_STORES = 256
"""Whose editions are kept at hand."""

Key = tuple[str, str, str | None, str | None]
"""A store's id and a file's, and the law and version that the edition's passages have."""


class Place(Protocol):
    """A passage, as far as it tells of which edition it is."""

    @property
    def store_id(self) -> str: ...
    @property
    def file_id(self) -> str: ...
    @property
    def law(self) -> str | None: ...
    @property
    def version(self) -> str | None: ...


def key(place: Place) -> Key:
    """The key of the edition that a passage, or a row of one, is of."""
    return place.store_id, place.file_id, place.law, place.version


@dataclass(frozen=True, slots=True)
class Edition:
    """An edition of a law: since when it applies and, if another took its place, until when (ISO dates).

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
    """Which file of a store is which edition of which laws."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # A search asks twice, and a store's editions change only with its passages and the day.
        self._kept = lru_cache(_STORES)(self._read)

    def of(self, store_ids: Sequence[str]) -> dict[Key, Edition]:
        """The editions that the files of these stores hold."""
        stores, today = tables.stores.c, datetime.date.today().isoformat()
        query = sa.select(stores.id, stores.generation).where(stores.id.in_(store_ids))
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return {key: each for row in rows for key, each in self._kept(*row, today).items()}

    def _read(self, store_id: str, _generation: int, today: str) -> dict[Key, Edition]:
        entries = tables.entries.c
        query = sa.select(entries.file_id, entries.edition).where(
            entries.store_id == store_id, entries.status == "completed", entries.edition.is_not(None)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        laws: dict[str, dict[Key, Mapping[str, Any]]] = {}
        for file_id, editions in rows:
            for each in editions or ():
                same = laws.setdefault(each["law"], {})
                same[store_id, file_id, each["title"], each["version"]] = each
        return {key: edition for same in laws.values() for key, edition in _line(same, today).items()}

    def by_file(self, store_ids: Sequence[str]) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """For each store and file of it that holds laws, these: `title` and `version` as its passages have them,
        `effective` and `until` as far as known, and whether another edition is in force in its place."""
        held: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for (store_id, file_id, title, version), each in self.of(store_ids).items():
            told = {"title": title, "version": version, "effective": each.effective, "until": each.until}
            held.setdefault((store_id, file_id), []).append(told | {"superseded": not each.current})
        return held


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
