"""The stores' indexes in memory: made from the database, kept on disk as a cache, changed together with it."""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from praxis.audit import Actor, Line, note
from praxis.errors import Conflict, InternalError
from praxis.state import writing
from rag import tables
from rag.index.embedding import Embedder, Vectors
from rag.index.faiss_store import FaissStore
from rag.index.keywords import Keywords
from rag.index.places.place import Away, Place, PlacedStore
from rag.index.terms import keywords_of
from rag.index.tuning import Tuning, key
from rag.index.vectors import StoreVectors, checksum

logger = logging.getLogger("praxis.rag")

EMBEDDED = "faiss"
"""Where a store's vectors are unless its row says otherwise."""

_ROWS_AT_ONCE = 500
_KEYWORDS = "keywords.npz"


@dataclass(frozen=True, slots=True)
class Near:
    """Passages near a vector, with their cosines, and the vector that was used; where it is not the one asked for,
    `rise` brings its cosines to the height of that one's, so that stores compare."""

    found: list[tuple[int, float]]
    vector: Vectors
    rise: float = 0.0


@dataclass(slots=True)
class StoreIndex:
    """What one store is searched by. Whoever changes it, or reads its keywords, holds `lock`; vectors see to themselves,
    so that one question does not wait while a vector database answers another."""

    vectors: StoreVectors
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
        digests = list(digests)
        self.vectors.put(ids, [file_id] * len(ids), digests, vectors)
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


class Shelf:
    """All stores' indexes, each loaded when first asked for. `folder` holds what FAISS keeps, `places` are the vector
    databases that stores may lie in."""

    def __init__(
        self, engine: Engine, embedder: Embedder, folder: Path, places: Mapping[str, Place] | None = None
    ) -> None:
        self._engine = engine
        self._embedder = embedder
        self._folder = folder
        self._places = dict(places or {})
        self._indexes: dict[str, StoreIndex] = {}
        self._lock = (
            threading.RLock()
        )  # held by whoever loads or changes, never by a search of a loaded store

    def index(self, store_id: str) -> StoreIndex:
        """The index of a store. Raises Conflict when another embedder made its vectors or they lie where models.yaml
        leads no more, and Away while its vector database does not answer."""
        if (index := self._indexes.get(store_id)) is not None and index.vectors.sound:
            return index
        with self._lock:
            index = self._indexes.get(store_id)
            if index is None:
                index = self._indexes[store_id] = self._load(store_id)
            elif not index.vectors.sound:
                self._reconcile(index.vectors)
            return index

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
        """Forget a store's index, in memory, on disk, and in the vector databases; one that is away forgets it later."""
        with self._lock:
            self._indexes.pop(store_id, None)
            shutil.rmtree(self._folder / store_id, ignore_errors=True)
            for place in self._places.values():
                with suppress(Away):
                    place.drop(store_id)

    def load_all(self) -> None:
        """Load every store that can be searched, and clear away what is cached of stores that are gone. What lies in a
        vector database that is away is left to `mend`."""
        for store_id in self._known(EMBEDDED):
            self.index(store_id)
        with self._engine.connect() as connection:
            known = set(connection.execute(sa.select(tables.stores.c.id)).scalars())
        for folder in self._folder.iterdir() if self._folder.exists() else ():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)
        self.mend()
        for provider in self._providers() - {EMBEDDED, *self._places}:
            stores = sorted(self._known(provider, searchable=False))
            logger.error("no way to the vectors of stores", extra={"provider": provider, "stores": stores})

    def mend(self) -> None:
        """Bring every vector database that answers in step with the truth, where it is not known to be."""
        for name, place in self._places.items():
            with suppress(Away):
                with self._lock:
                    place.tidy(self._known(name, searchable=False))
                for store_id in self._known(name):
                    self.index(store_id)

    @property
    def providers(self) -> tuple[str, ...]:
        """Where vectors may be."""
        return EMBEDDED, *self._places

    @property
    def placed(self) -> bool:
        """Whether any vector database beside this process is used."""
        return bool(self._places)

    def close(self) -> None:
        """Write what is to be kept, and let go of the vector databases."""
        self.save()
        for place in self._places.values():
            place.close()

    def save(self) -> None:
        """Write the indexes that changed since they were last written."""
        with self._lock:
            indexes = dict(self._indexes)
        for store_id, index in indexes.items():
            with index.lock:
                if index.generation == index.saved or self._indexes.get(store_id) is not index:
                    continue
                folder, made = self._folder / store_id, self._key(index.generation)
                index.keywords.save(folder / _KEYWORDS, made)
                if isinstance(index.vectors, FaissStore):
                    index.vectors.save(folder, made)
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
                sa.select(stores.generation, stores.fingerprint, stores.provider).where(stores.id == store_id)
            ).first()
            self.check(row.fingerprint if row else None, store_id)
            here = (passages.store_id == store_id, passages.vector.is_not(None))
            columns = (passages.id, passages.file_id, passages.digest)
            rows = connection.execute(sa.select(*columns).where(*here).order_by(passages.id)).all()
            tuning = self._tuning(connection, store_id)
            generation = row.generation if row else 0
            folder, made = self._folder / store_id, self._key(generation)
            cached = Keywords.load(folder / _KEYWORDS, made, {each.id for each in rows})
            keywords = keywords_of(connection, *here) if cached is None else cached
        vectors = self._vectors_in((row and row.provider) or EMBEDDED, store_id)
        index = StoreIndex(vectors, keywords, generation, -1, tuning=tuning)
        ids, documents = [each.id for each in rows], [each.file_id for each in rows]
        digests = [each.digest for each in rows]
        if isinstance(vectors, FaissStore):
            if not vectors.load(folder, made, ids, documents, digests):
                cached = None
                vectors.put(ids, documents, digests, self.truth(ids))
        else:
            vectors.remember(ids, documents, digests)
            self._reconcile(vectors)
        if cached is not None:
            index.saved = generation
        index.keys = {each.id: key(each.digest) for each in rows}
        logger.info(
            "store loaded", extra={"store": store_id, "passages": len(ids), "vectors": vectors.provider}
        )
        return index

    def move(self, store_id: str, target: str, told: Callable[[int], None]) -> dict[str, Any] | None:
        """Have a store's vectors held by `target`, verified, and only then no longer where they were; what was done, None
        where that is nothing any more. `told` hears how many are there, and may raise.

        Raises Away while the target does not answer, Conflict where another embedder made the vectors, and
        InternalError where the target does not give back what it was given.
        """
        # Most of it while the store may change; then the rest, and whether it is the same, while it may not.
        if target != EMBEDDED:
            with suppress(KeyError):  # a file was taken out meanwhile; what is left is done below
                self._fill(self._vectors_in(target, store_id), store_id, told)
        with self._lock:
            vectors = self._vectors_in(target, store_id)
            row = self._fill(vectors, store_id, told)
            if row is None or row.moving != target:
                self._empty(target, store_id)
                return None
            try:
                count, made = self._verified(vectors)
            except InternalError:
                # What is wrong there would be taken for right by the next attempt, which goes by the digests.
                self._empty(target, store_id)
                raise
            source = row.provider or EMBEDDED
            report = {"status": "completed", "from": source, "to": target, "count": count, "checksum": made}
            report["completed_at"] = int(time.time())
            stores = tables.stores
            with writing(self._engine).begin() as connection:
                values = {"provider": target, "moving": None, "moved": report}
                connection.execute(sa.update(stores).where(stores.c.id == store_id).values(values))
                line = Line("knowledge.migrate", store_id, None, f"from {source} to {target}")
                note(connection, Actor(row.tenant), line)
            if (index := self._indexes.get(store_id)) is not None:
                with index.lock:
                    index.vectors, index.saved = vectors, -1
            self._empty(source, store_id)
        return report

    def size(self, store_id: str) -> int:
        """How many vectors a store has."""
        passages = tables.passages.c
        query = sa.select(sa.func.count()).where(passages.store_id == store_id, passages.vector.is_not(None))
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def _fill(
        self, vectors: FaissStore | PlacedStore, store_id: str, told: Callable[[int], None]
    ) -> sa.Row[*tuple[Any, ...]] | None:
        """Have `vectors` hold what the database has of the store; its row, None where there is none."""
        stores, passages = tables.stores.c, tables.passages.c
        query = sa.select(passages.id, passages.file_id, passages.digest)
        query = query.where(passages.store_id == store_id, passages.vector.is_not(None))
        with self._engine.connect() as connection:
            columns = (stores.tenant, stores.provider, stores.moving, stores.fingerprint)
            row = connection.execute(sa.select(*columns).where(stores.id == store_id)).first()
            known = connection.execute(query.order_by(passages.id)).all()
        if row is None:
            return None
        self.check(row.fingerprint, store_id)
        ids, documents = [each.id for each in known], [each.file_id for each in known]
        digests = [each.digest for each in known]
        told(0)
        if isinstance(vectors, FaissStore):
            vectors.put(ids, documents, digests, self.truth(ids))
        else:
            vectors.remember(ids, documents, digests)
            vectors.reconcile(self.truth, told)
        told(len(ids))
        return row

    def _verified(self, vectors: StoreVectors) -> tuple[int, str]:
        """How many vectors are held and their checksum, once both are the database's own. Raises InternalError."""
        digests = vectors.digests()
        truth = checksum(digests, self._rows(sorted(digests)))
        held = vectors.checksum()
        if held != truth:
            raise InternalError(
                f"`{vectors.provider}` gave back {held[0]} vectors with the checksum {held[1][:12]}, not the "
                f"{truth[0]} with {truth[1][:12]} that it was given; nothing was changed. Move them again."
            )
        return held

    def _rows(self, ids: Sequence[int]) -> Iterator[dict[int, Vectors]]:
        for at in range(0, len(ids), _ROWS_AT_ONCE):
            part = ids[at : at + _ROWS_AT_ONCE]
            yield dict(zip(part, self.truth(part), strict=True))

    def _empty(self, provider: str, store_id: str) -> None:
        """Hold nothing of a store there; a vector database that is away forgets it later."""
        if provider == EMBEDDED:
            shutil.rmtree(self._folder / store_id, ignore_errors=True)
        elif (place := self._places.get(provider)) is not None:
            with suppress(Away):
                place.drop(store_id)

    def _vectors_in(self, provider: str, store_id: str) -> FaissStore | PlacedStore:
        if provider == EMBEDDED:
            return FaissStore(self._embedder.dimensions)
        if (place := self._places.get(provider)) is None:
            raise Conflict(
                f"The vectors of the knowledge base `{store_id}` lie in `{provider}`, and models.yaml no longer says "
                f"how to reach that: write `rag.vector_store.{provider}` again, or run `praxis knowledge migrate "
                f"{store_id} --to {EMBEDDED}`.",
                code="vector_store_unknown",
            )
        return PlacedStore(self._embedder.dimensions, place, store_id)

    def _reconcile(self, vectors: StoreVectors) -> None:
        if isinstance(vectors, PlacedStore) and (lacked := vectors.reconcile(self.truth)):
            facts = {"store": vectors.store_id, "provider": vectors.provider, "passages": lacked}
            logger.info("vector database brought up to date", extra=facts)

    def _providers(self) -> set[str]:
        column = sa.func.coalesce(tables.stores.c.provider, EMBEDDED)
        with self._engine.connect() as connection:
            return set(connection.execute(sa.select(column).distinct()).scalars())

    def _known(self, provider: str, *, searchable: bool = True) -> set[str]:
        """The stores whose vectors lie in `provider`; where `searchable`, only those that this embedder made, else also
        those whose vectors are on their way there."""
        stores = tables.stores.c
        here = sa.func.coalesce(stores.provider, EMBEDDED) == provider
        query = sa.select(stores.id).where(here if searchable else sa.or_(here, stores.moving == provider))
        if searchable:
            made = sa.or_(stores.fingerprint.is_(None), stores.fingerprint == self._embedder.fingerprint)
            query = query.where(made)
        with self._engine.connect() as connection:
            return set(connection.execute(query).scalars())

    def _tuning(self, connection: Connection, store_id: str) -> Tuning | None:
        """What the store learned, unless it was with another embedder."""
        tunings = tables.tunings.c
        learned = connection.execute(
            sa.select(tunings.learned).where(
                tunings.store_id == store_id, tunings.fingerprint == self._embedder.fingerprint
            )
        ).scalar()
        return Tuning.loaded(learned) if learned else None

    def truth(self, ids: Sequence[int]) -> Vectors:
        """The vectors of these passages as the database has them, in the order of `ids`."""
        passages = tables.passages.c
        held: dict[int, bytes] = {}
        with self._engine.connect() as connection:
            for at in range(0, len(ids), _ROWS_AT_ONCE):
                part = passages.id.in_(ids[at : at + _ROWS_AT_ONCE])
                rows = connection.execute(sa.select(passages.id, passages.vector).where(part))
                held |= {row.id: row.vector for row in rows}
        raw = b"".join(held[each] for each in ids)
        return np.frombuffer(raw, "<f4").reshape(-1, self._embedder.dimensions)
