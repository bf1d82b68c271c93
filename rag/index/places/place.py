"""A vector database that keeps the library's vectors, and a store's vectors in it.

The vectors of all stores lie in one collection, each with its store, document and text's digest; texts and anything
else that could be read stay in the state database. The collection's name tells the library and what made the vectors,
so that neither another Praxis nor another embedding model ever looks into it.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from pydantic import PrivateAttr

from praxis.errors import Overloaded
from rag.index.embedding import Vectors
from rag.index.vectors import Batch, Ids, StoreVectors

logger = logging.getLogger("praxis.rag")

_PAUSE = 1.0
"""Seconds for which a database that was away is not asked again, so that not every request waits for its timeout."""
_AT_ONCE = 500
"""Vectors sent together."""

T = TypeVar("T")


class Away(Overloaded):
    """The vector database does not answer; it is tried again by itself."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The ids that a search may find, or where `outside` the ones that it may not; whichever are fewer."""

    ids: Ids
    outside: bool = False


class Collections(ABC):
    """What each vector database does in its own words. Methods block and may be called from several threads.

    Each raises what its client raises; `failure` tells what of that says that the database is away.
    """

    @abstractmethod
    def failure(self, error: Exception) -> str | None:
        """Why the database is away, if that is what `error` says; None where it is a mistake of ours."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the collection where it is not there, and clear away the library's others."""

    @abstractmethod
    def put(self, store_id: str, batch: Batch) -> None:
        """Hold these vectors; an id that is held already is replaced."""

    @abstractmethod
    def remove(self, ids: Sequence[int]) -> None:
        """Hold these no longer; those that are not held are passed over."""

    @abstractmethod
    def drop(self, store_id: str) -> None:
        """Hold nothing of a store."""

    @abstractmethod
    def stores(self) -> set[str]:
        """The stores of which anything is held."""

    @abstractmethod
    def digests(self, store_id: str) -> dict[int, str]:
        """What is held of a store: each vector's id and its text's digest."""

    @abstractmethod
    def nearest(
        self, store_id: str, vector: Vectors, limit: int, bounds: Bounds | None
    ) -> list[tuple[int, float]]:
        """The `limit` nearest of a store, exactly, best first, with their inner products."""

    @abstractmethod
    def rows(self, ids: Sequence[int]) -> dict[int, Vectors]:
        """The vectors of those of `ids` that are held."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections."""


@dataclass(frozen=True, slots=True)
class Naming:
    """Whose vectors a collection holds, by the library's id, and what made them: the embedder's fingerprint, and how
    many numbers each has."""

    library: str
    fingerprint: str
    dimensions: int

    def all_of(self, prefix: str) -> str:
        """What the names of the library's collections begin with."""
        return f"{prefix}_{self.library}_"

    def collection(self, prefix: str) -> str:
        """The name of the collection."""
        return self.all_of(prefix) + hashlib.sha256(self.fingerprint.encode()).hexdigest()[:8]


class Place:
    """A vector database as the shelf sees it: asked only where it is likely to answer, and never trusted blindly.

    `epoch` counts the times that it was away. What was known of it before may be wrong after: a write may have got
    lost, or an older copy come back. So a store's vectors are compared with the truth once in each epoch.
    """

    def __init__(self, provider: str, collections: Collections) -> None:
        self.provider = provider
        self.epoch = 0
        self.tidied: int | None = None  # the epoch in which stores that are gone were cleared away
        self._collections = collections
        self._prepared = False
        self._until = 0.0
        self._reason = ""
        self._lock = threading.Lock()

    def ask(self, question: Callable[[Collections], T]) -> T:
        """What `question` answers. Raises Away."""
        self._pause()
        try:
            self._prepare()
            return question(self._collections)
        except Away:
            raise
        except Exception as error:  # each client has errors of its own; what is none of being away goes on
            reason = self._collections.failure(error)
            if reason is None:
                raise
            if self._prepared or self._reason != reason:
                logger.warning("vector database is away", extra={"provider": self.provider, "reason": reason})
            self._reason, self._prepared = reason, False
            self._until = time.monotonic() + _PAUSE
            self.epoch += 1
            raise self._away() from error

    def tidy(self, kept: Collection[str]) -> None:
        """Clear away what is held of stores other than `kept`, once in an epoch. Raises Away."""
        epoch = self.epoch
        if self.tidied != epoch:
            for store_id in self.ask(lambda held: held.stores()) - set(kept):
                self.drop(store_id)
            self.tidied = epoch

    def drop(self, store_id: str) -> None:
        """Hold nothing of a store. Raises Away; then it is cleared away when the database is back."""
        self.ask(lambda held: held.drop(store_id))

    def close(self) -> None:
        """Let go of connections."""
        self._collections.close()

    def _prepare(self) -> None:
        with self._lock:
            if not self._prepared:
                # Whoever waited for another's attempt does not wait for one of its own.
                self._pause()
                self._collections.prepare()
                self._prepared = True
                if self._reason:
                    logger.info("vector database is back", extra={"provider": self.provider})

    def _pause(self) -> None:
        if time.monotonic() < self._until:
            raise self._away()

    def _away(self) -> Away:
        # Why is for the log: it tells of hosts and users.
        return Away(
            f"The vector database (`{self.provider}`) cannot be reached now; Praxis tries again by itself, so ask "
            "again in a moment.",
            code="vector_store_away",
            retry_after=_PAUSE,
        )


class PlacedStore(StoreVectors):
    """One store's vectors in a vector database."""

    store_id: str

    _place: Place = PrivateAttr()
    _epoch: int = PrivateAttr(default=-1)

    def __init__(self, dimensions: int, place: Place, store_id: str) -> None:
        super().__init__(dimensions, store_id=store_id)
        self._place = place

    @property
    def client(self) -> Any:
        return self._place

    @property
    def provider(self) -> str:
        return self._place.provider

    @property
    def sound(self) -> bool:
        return self._epoch == self._place.epoch

    def reconcile(
        self, wanted: Callable[[Sequence[int]], Vectors], progress: Callable[[int], None] | None = None
    ) -> int:
        """Make the database hold just these vectors, `wanted` giving those of ids; how many it lacked. Raises Away."""
        epoch = self._place.epoch
        digests = self.digests()
        documents = self._documents_by_id()
        held = self._place.ask(lambda there: there.digests(self.store_id))
        surplus = [each for each in held if each not in digests]
        missing = [each for each, digest in digests.items() if held.get(each) != digest]
        for at in range(0, len(surplus), _AT_ONCE):
            self._remove_now(surplus[at : at + _AT_ONCE])
        for at in range(0, len(missing), _AT_ONCE):
            part = missing[at : at + _AT_ONCE]
            self._put_now(
                Batch(
                    part, [documents[each] for each in part], [digests[each] for each in part], wanted(part)
                )
            )
            if progress:
                progress(len(digests) - len(missing) + at + len(part))
        self._epoch = epoch
        return len(missing)

    def nearest(self, vector: Vectors, limit: int, allowed: Ids | None = None) -> list[tuple[int, float]]:
        bounds = None if allowed is None else self._bounds(np.asarray(allowed, np.int64))
        if not len(self) or (bounds is not None and not bounds.outside and not len(bounds.ids)):
            return []
        found = self._place.ask(lambda held: held.nearest(self.store_id, vector, limit, bounds))
        with self._turn:
            return [(each, score) for each, score in found if each in self._digests]

    def cosines(self, ids: Sequence[int], vector: Vectors) -> dict[int, float]:
        with self._turn:
            known = [each for each in ids if each in self._digests]
        if not known:
            return {}
        bounds = Bounds(np.asarray(known, np.int64))
        return dict(self._place.ask(lambda held: held.nearest(self.store_id, vector, len(known), bounds)))

    def rows(self, ids: Sequence[int]) -> dict[int, Vectors]:
        return self._place.ask(lambda held: held.rows(ids)) if ids else {}

    def _held(self) -> Mapping[int, str]:
        return self._place.ask(lambda held: held.digests(self.store_id))

    def _insert(self, batch: Batch) -> None:
        # The database has them already: where they get lost here, the next search finds that out first.
        with suppress(Away):
            for part in batch.parts(_AT_ONCE):
                self._put_now(part)

    def _remove(self, ids: Sequence[int]) -> None:
        # Nobody finds them any more; where they stay for now, they go as soon as the database is back.
        with suppress(Away):
            for at in range(0, len(ids), _AT_ONCE):
                self._remove_now(ids[at : at + _AT_ONCE])

    def _put_now(self, batch: Batch) -> None:
        self._place.ask(lambda held: held.put(self.store_id, batch))

    def _remove_now(self, ids: Sequence[int]) -> None:
        self._place.ask(lambda held: held.remove(ids))

    def _documents_by_id(self) -> dict[int, str]:
        with self._turn:
            return {each: document for document, ids in self._documents.items() for each in ids}

    def _bounds(self, allowed: Ids) -> Bounds | None:
        everything = self.ids()
        refused = np.setdiff1d(everything, allowed)
        if not len(refused):
            return None
        return Bounds(refused, outside=True) if len(refused) < len(allowed) else Bounds(allowed)
