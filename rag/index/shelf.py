"""The stores' indexes in memory: made from the database, kept on disk as a cache, changed together with it."""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from praxis.errors import Conflict
from rag import tables
from rag.index.embedding import Embedder, Vectors
from rag.index.faiss_store import FaissStore
from rag.index.keywords import Keywords
from rag.index.tuning import Tuning, key

logger = logging.getLogger("praxis.rag")


@dataclass(frozen=True, slots=True)
class Near:
    """Passages near a vector, with their cosines, and the vector that was used; where it is not the one asked for,
    `rise` brings its cosines to the height of that one's, so that stores compare."""

    found: list[tuple[int, float]]
    vector: Vectors
    rise: float = 0.0


@dataclass(slots=True)
class StoreIndex:
    """What one store is searched by. Whoever reads or changes it holds `lock`."""

    vectors: FaissStore
    keywords: Keywords
    generation: int
    saved: int
    keys: dict[int, int] = field(default_factory=dict)  # of the passages, by id
    tuning: Tuning | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def add(
        self,
        ids: Sequence[int],
        file_id: str,
        vectors: Vectors,
        texts: Iterable[str],
        digests: Iterable[str],
    ) -> None:
        """Take in the passages of one file."""
        self.vectors.put(ids, [file_id] * len(ids), vectors)
        for id_, text, digest in zip(ids, texts, digests, strict=True):
            self.keywords.add(id_, text)
            self.keys[id_] = key(digest)

    def nearest(self, vector: Vectors, limit: int, allowed: npt.NDArray[np.int64] | None = None) -> Near:
        """The `limit` passages nearest to `vector`, turned by what was learned where it applies; `allowed` bounds
        them."""
        plain = self.vectors.nearest(vector, limit, allowed)
        if self.tuning is None or not plain:
            return Near(plain, vector)
        share = sum(self.keys.get(id_) in self.tuning.covered for id_, _ in plain) / len(plain)
        if (turned := self.tuning.turned(vector, share)) is None:
            return Near(plain, vector)
        found = self.vectors.nearest(turned, limit, allowed)
        return Near(found, turned, plain[0][1] - found[0][1])

    def remove(self, file_id: str) -> None:
        """Forget every passage of a file."""
        gone = self.vectors.ids_of(file_id)
        self.keywords.remove(gone)
        for id_ in gone:
            self.keys.pop(id_, None)
        self.vectors.delete(file_id)


def keyword_text(law: str | None, path: str, head: str | None, text: str) -> str:
    """What a passage is found by as words: its law and chapter help here, as they do not help vectors."""
    return " ".join(each for each in (law, path, "" if head == path else head, text) if each)


class Shelf:
    """All stores' indexes, each loaded when first asked for. `folder` holds the cache."""

    def __init__(self, engine: Engine, embedder: Embedder, folder: Path) -> None:
        self._engine = engine
        self._embedder = embedder
        self._folder = folder
        self._indexes: dict[str, StoreIndex] = {}
        self._lock = (
            threading.RLock()
        )  # held by whoever loads or changes, never by a search of a loaded store

    def index(self, store_id: str) -> StoreIndex:
        """The index of a store. Raises Conflict when another embedder made its vectors."""
        if (index := self._indexes.get(store_id)) is not None:
            return index
        with self._lock:
            if store_id not in self._indexes:
                self._indexes[store_id] = self._load(store_id)
            return self._indexes[store_id]

    @contextmanager
    def changing(self, store_ids: Iterable[str]) -> Iterator[dict[str, StoreIndex]]:
        """Hold the indexes of stores while the database and they change together, so that no search sees the one
        without the other. Stores whose index is not in memory are left out: they are read after the change."""
        with self._lock, ExitStack() as stack:
            held = {each: self._indexes[each] for each in sorted(set(store_ids)) if each in self._indexes}
            for index in held.values():
                stack.enter_context(index.lock)
            yield held

    def drop(self, store_id: str) -> None:
        """Forget a store's index, in memory and on disk."""
        with self._lock:
            self._indexes.pop(store_id, None)
            shutil.rmtree(self._folder / store_id, ignore_errors=True)

    def load_all(self) -> None:
        """Load every store that can be searched, and clear away what is cached of stores that are gone."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(tables.stores.c.id, tables.stores.c.fingerprint)).all()
        for row in rows:
            if row.fingerprint in (None, self._embedder.fingerprint):
                self.index(row.id)
        known = {row.id for row in rows}
        for folder in self._folder.iterdir() if self._folder.exists() else ():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)

    def save(self) -> None:
        """Write the indexes that changed since they were last written."""
        with self._lock:
            indexes = dict(self._indexes)
        for store_id, index in indexes.items():
            with index.lock:
                if index.generation != index.saved and self._indexes.get(store_id) is index:
                    index.vectors.save(self._folder / store_id, self._key(index.generation))
                    index.saved = index.generation

    def check(self, fingerprint: str | None, store_id: str) -> None:
        """Refuse a store whose vectors cannot be compared with this embedder's. Raises Conflict."""
        if fingerprint not in (None, self._embedder.fingerprint):
            made = str(fingerprint).split("|")[0]
            raise Conflict(
                f"The knowledge base `{store_id}` was indexed by the embedding model `{made}` and Praxis now runs "
                f"`{self._embedder.name}` (or other prefixes): run `praxis knowledge rebuild {store_id}`, or set "
                "`rag.embedding` back.",
                code="embedding_mismatch",
            )

    def _key(self, generation: int) -> str:
        made = hashlib.sha256(self._embedder.fingerprint.encode()).hexdigest()[:16]
        return f"{made}-{generation}"

    def _load(self, store_id: str) -> StoreIndex:
        stores, passages = tables.stores.c, tables.passages.c
        with self._engine.connect() as connection:
            row = connection.execute(
                sa.select(stores.generation, stores.fingerprint).where(stores.id == store_id)
            ).first()
            self.check(row.fingerprint if row else None, store_id)
            columns = (
                passages.id,
                passages.file_id,
                passages.law,
                passages.path,
                passages.head,
                passages.text,
                passages.digest,
            )
            rows = connection.execute(
                sa.select(*columns)
                .where(passages.store_id == store_id, passages.vector.is_not(None))
                .order_by(passages.id)
            ).all()
            index = StoreIndex(
                FaissStore(self._embedder.dimensions), Keywords(), row.generation if row else 0, -1
            )
            index.tuning = self._tuning(connection, store_id)
            ids, documents = [each.id for each in rows], [each.file_id for each in rows]
            if index.vectors.load(self._folder / store_id, self._key(index.generation), ids, documents):
                index.saved = index.generation
            else:
                index.vectors.put(ids, documents, self._vectors(connection, store_id))
        for each in rows:
            index.keywords.add(each.id, keyword_text(each.law, each.path, each.head, each.text))
            index.keys[each.id] = key(each.digest)
        logger.info("store loaded", extra={"store": store_id, "passages": len(ids)})
        return index

    def _tuning(self, connection: Connection, store_id: str) -> Tuning | None:
        """What the store learned, unless it was with another embedder."""
        tunings = tables.tunings.c
        learned = connection.execute(
            sa.select(tunings.learned).where(
                tunings.store_id == store_id, tunings.fingerprint == self._embedder.fingerprint
            )
        ).scalar()
        return Tuning.loaded(learned) if learned else None

    def _vectors(self, connection: Connection, store_id: str) -> Vectors:
        passages = tables.passages.c
        blobs = connection.execute(
            sa.select(passages.vector)
            .where(passages.store_id == store_id, passages.vector.is_not(None))
            .order_by(passages.id)
        ).scalars()
        raw = b"".join(blobs)
        return np.frombuffer(raw, "<f4").reshape(-1, self._embedder.dimensions)
