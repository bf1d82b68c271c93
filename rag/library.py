"""The library of this process: documents in stores, and passages found in them."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sqlalchemy as sa
from llama_index.core.schema import NodeWithScore
from sqlalchemy import Engine

from praxis.errors import NotFound
from rag import tables
from rag.answer.statutes import known_law, looked_up, same_law, spellings
from rag.editions import KEYS, Editions, Key, key
from rag.files import Files
from rag.index.embedding import Embedder, Vectors
from rag.index.filters import Filter
from rag.index.lexicon import statutory
from rag.index.reranker import Reranker
from rag.index.retrievers import Allowed, HybridRetriever, wordings
from rag.index.shelf import Shelf, StoreIndex
from rag.passages import FACTS, Hit, Passage
from rag.stores import Stores

_NAMES_ARTICLE = re.compile(r"条|[Aa]rt(?:icle|\.)")


@dataclass(frozen=True, slots=True)
class Library:
    """Documents, stores and retrieval; one per process, made by `rag.app`."""

    engine: Engine
    embedder: Embedder
    shelf: Shelf
    files: Files
    stores: Stores
    editions: Editions
    reranker: Reranker | None = None
    loaded: threading.Event = field(default_factory=threading.Event)  # set once every index is in memory

    async def search(
        self, store_ids: Sequence[str], query: str, *, limit: int, filters: Filter | None = None
    ) -> list[Hit]:
        """The passages of `store_ids` that answer `query` best, best first; `filters` bounds them by attributes.

        Of several editions of a law only the one in force is searched, unless `filters` asks for editions.
        Raises Conflict when a store was indexed by another embedding model.
        """
        return await asyncio.to_thread(self._search, list(dict.fromkeys(store_ids)), query, limit, filters)

    async def stores_named(self, tenant: str, names: Sequence[str]) -> list[str]:
        """The ids of the tenant's stores of these names or ids; of equal names the newest; unknown ones left out."""
        return await asyncio.to_thread(self.stores.named, tenant, names)

    async def text(self, file_id: str) -> str:
        """The file's extracted text. Raises NotFound while there is none."""
        document = await asyncio.to_thread(self.files.document, file_id)
        if document is None:
            raise NotFound(f"There is no text of the file `{file_id}`.", param="file_id")
        return document.text

    async def similarity(self, sentences: Sequence[str], passages: Sequence[str]) -> list[list[float]]:
        """How close each sentence (rows) is to each passage (columns), on the scale of a hit's score, 0 to 1."""
        if not sentences or not passages:
            return [[] for _ in sentences]
        rows = await asyncio.to_thread(self.embedder.queries, sentences)
        columns = await asyncio.to_thread(self.embedder.passages, passages)
        return [[self.embedder.relevance(float(each)) for each in row] for row in rows @ columns.T]

    async def article(self, store_ids: Sequence[str], law: str | None, article: str) -> Passage | None:
        """The article of that very number (第四十四条) in `law`, by its full or short name; in whichever law there
        is, if none is named. Of several editions the one in force."""
        return await asyncio.to_thread(self._article, store_ids, law, article, None)

    async def in_file(self, store_id: str, file_id: str, articles: Sequence[str]) -> list[Passage]:
        """The passages of these articles (第四十四条) in one file of a store, in the order of its text."""
        return await asyncio.to_thread(self._in_file, store_id, file_id, articles)

    def split(
        self, store_id: str, file_id: str, limit: int, after: int
    ) -> tuple[Sequence[Mapping[str, Any]], int]:
        """At most `limit` passages of a file beyond its first `after`, in the order of its text, and how many there
        are. `searchable` is false for what stands in the text but is not searched, as a table of contents."""
        passages = tables.passages.c
        here = sa.and_(passages.store_id == store_id, passages.file_id == file_id)
        columns = [passages[name] for name in ("text", *FACTS, "path")]
        query = sa.select(*columns, passages.digest.is_not(None).label("searchable")).where(here)
        with self.engine.connect() as connection:
            total = connection.execute(sa.select(sa.func.count()).where(here)).scalar_one()
            page = query.order_by(passages.id).offset(after).limit(limit)
            return [dict(row) for row in connection.execute(page).mappings()], total

    def before(self, store_id: str, file_id: str, at: int) -> int:
        """How many passages of a file end before the character `at` of its text."""
        passages = tables.passages.c
        here = sa.and_(passages.store_id == store_id, passages.file_id == file_id, passages.end <= at)
        with self.engine.connect() as connection:
            return connection.execute(sa.select(sa.func.count()).where(here)).scalar_one()

    def attributes(self, hits: Sequence[Hit]) -> list[dict[str, Any]]:
        """Per hit, the attributes of its file in its store and the passage's own facts."""
        passages = [each.passage for each in hits]
        stores = {each.store_id for each in passages}
        own = self._own_attributes(stores, {each.file_id for each in passages})
        editions = self.editions.of(list(stores))
        dated = [editions.get(key(each)) for each in passages]
        return [
            own.get((each.store_id, each.file_id), {}) | facts(each) | (edition.facts() if edition else {})
            for each, edition in zip(passages, dated, strict=True)
        ]

    def describe(self, file_id: str, start: int, end: int) -> dict[str, str] | None:
        """A `heading` and `details` for people: which law and article, which file, version and page stand at
        [start:end]. None when there is no such file."""
        with self.engine.connect() as connection:
            query = sa.select(tables.files.c.filename).where(tables.files.c.id == file_id)
            filename = connection.execute(query).scalar()
        document = self.files.document(file_id)
        if filename is None or document is None:
            return None
        passages = tables.passages.c
        held = self._where(
            sa.and_(passages.file_id == file_id, passages.start <= start, passages.end > start)
        )
        here = held[0] if held else None
        page = document.page(start)
        heading = " ".join(each for each in (here and here.law, here and here.article) if each) or filename
        details = (here and here.path, here and here.version, filename, f"p. {page}" if page else None)
        return {"heading": heading, "details": " · ".join(each for each in details if each)}

    def _search(self, store_ids: list[str], query: str, limit: int, filters: Filter | None) -> list[Hit]:
        indexes = {each: self.shelf.index(each) for each in store_ids}
        allowed = self._allowed(store_ids, filters) if filters is not None else None
        if filters is None or not filters.keys & KEYS:
            allowed = self._in_force(indexes, allowed)
        restated = statutory(query)
        vectors = self.embedder.queries([query, restated] if restated else [query])
        vector = vectors[0]
        said = wordings(query, restated, vectors)
        # Some may have been deleted by the time that they are read.
        depth = max(limit, self.reranker.depth) if self.reranker else limit
        retriever = HybridRetriever(indexes, allowed, said, self.embedder.span, depth + 10)
        found = retriever.retrieve(query)
        scores = self._relevance(indexes, found, vector)
        passages = self._passages([int(each.node.node_id) for each in found])
        hits = [Hit(passages[each], score) for each, score in scores.items() if each in passages]
        if self.reranker:
            hits = self._reread(self.reranker, query, hits[:depth])
        exact = self._named(store_ids, query, allowed)
        return _ordered([Hit(each, 1.0) for each in exact], hits)[:limit]

    def _reread(self, reranker: Reranker, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """The hits in the reranker's order, with its scores."""
        texts = [" ".join(filter(None, (each.passage.law, each.passage.text))) for each in hits]
        scores = reranker.scores(query, texts) if texts else []
        reread = [Hit(each.passage, score) for each, score in zip(hits, scores, strict=True)]
        return sorted(reread, key=lambda each: -each.score)

    def _relevance(
        self, indexes: Mapping[str, StoreIndex], found: Sequence[NodeWithScore], vector: Vectors
    ) -> dict[int, float]:
        """How well each passage found answers, 0 to 1, by its vector; one that was deleted meanwhile is left out."""
        cosines: dict[int, float] = {}
        for store_id, index in indexes.items():
            inside = [int(each.node.node_id) for each in found if each.node.metadata["store_id"] == store_id]
            cosines |= index.vectors.cosines(inside, vector)
        ranked = [int(each.node.node_id) for each in found]
        return {each: self.embedder.relevance(cosines[each]) for each in ranked if each in cosines}

    def _in_force(self, indexes: Mapping[str, StoreIndex], allowed: Allowed | None) -> Allowed | None:
        """`allowed` without the passages of editions that are not in force; None where that is all there is."""
        editions = self.editions.of(list(indexes))
        if not (old := {key for key, each in editions.items() if not each.current}):
            return allowed
        files, kept = {each[:2] for each in old}, {each[:2] for each in editions.keys() - old}
        others = [id_ for store, file in files - kept for id_ in indexes[store].vectors.ids_of(file)]
        if mixed := {file for _, file in files & kept}:
            passages = tables.passages.c
            query = sa.select(
                passages.id, passages.store_id, passages.file_id, passages.law, passages.version
            )
            with self.engine.connect() as connection:
                rows = connection.execute(query.where(passages.file_id.in_(mixed))).all()
            others += [row.id for row in rows if key(row) in old]
        inside = allowed or {store_id: index.vectors.ids() for store_id, index in indexes.items()}
        return {store_id: np.setdiff1d(ids, others) for store_id, ids in inside.items()}

    def _named(self, store_ids: Sequence[str], query: str, allowed: Allowed | None) -> list[Passage]:
        """The articles that the query names with their law."""
        if not _NAMES_ARTICLE.search(query):
            return []
        laws = self._laws(store_ids)
        found = [
            self._article(store_ids, self._meant(each.law, laws), each.article, allowed)
            for each in looked_up(query, laws)
            if each.law and each.article
        ]
        return [each for each in found if each is not None]

    def _meant(self, law: str, laws: Sequence[str]) -> str:
        """`law` as the stores call it where it is a short form of one of `laws`."""
        if any(same_law(each, law) for each in laws):
            return law
        return known_law(law, laws) or law

    def _laws(self, store_ids: Sequence[str]) -> list[str]:
        passages = tables.passages.c
        query = (
            sa.select(passages.law)
            .distinct()
            .where(passages.store_id.in_(store_ids), passages.law.is_not(None))
        )
        with self.engine.connect() as connection:
            return [str(each) for each in connection.execute(query).scalars()]

    def _article(
        self, store_ids: Sequence[str], law: str | None, article: str, allowed: Allowed | None
    ) -> Passage | None:
        passages = tables.passages.c
        condition = sa.and_(
            passages.store_id.in_(store_ids),
            passages.article.in_(spellings(article)),
            passages.digest.is_not(None),
        )
        found = [
            each
            for each in self._where(condition)
            if (law is None or same_law(each.law or "", law))
            and (allowed is None or each.id in allowed[each.store_id])
        ]
        editions = self.editions.of(list({each.store_id for each in found})) if len(found) > 1 else {}

        def newness(passage: Passage) -> tuple[bool, str]:
            edition = editions.get(key(passage))
            return edition is None or edition.current, passage.version or ""

        # A continuation of a long article comes after its beginning; another edition after the one in force.
        return max(sorted(found, key=lambda each: each.start), key=newness, default=None)

    def _in_file(self, store_id: str, file_id: str, articles: Sequence[str]) -> list[Passage]:
        passages = tables.passages.c
        spelled = [spelling for each in articles for spelling in spellings(each)]
        condition = sa.and_(
            passages.store_id == store_id,
            passages.file_id == file_id,
            passages.article.in_(spelled),
            passages.digest.is_not(None),
        )
        return sorted(self._where(condition), key=lambda each: each.start)

    def _passages(self, ids: Sequence[int]) -> dict[int, Passage]:
        return {each.id: each for each in self._where(tables.passages.c.id.in_(ids))}

    def _where(self, condition: sa.ColumnElement[bool]) -> list[Passage]:
        columns = [tables.passages.c[name] for name in Passage.__dataclass_fields__ if name != "filename"]
        query = (
            sa.select(tables.files.c.filename, *columns)
            .join(tables.files, tables.files.c.id == tables.passages.c.file_id)
            .where(condition)
        )
        with self.engine.connect() as connection:
            return [Passage(**row) for row in connection.execute(query).mappings()]

    def _allowed(self, store_ids: Sequence[str], filters: Filter) -> Allowed:
        """Per store, the ids of the passages whose file's attributes and own facts `filters` lets through."""
        passages = tables.passages.c
        columns = [passages[name] for name in ("id", "store_id", "file_id", *FACTS)]
        query = sa.select(*columns).where(passages.store_id.in_(store_ids), passages.digest.is_not(None))
        kept: dict[str, list[int]] = {each: [] for each in store_ids}
        with self.engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        own, editions = self._own_attributes(store_ids), self._edition_facts(store_ids)
        for row in rows:
            known = {name: row[name] for name in FACTS if row[name] is not None}
            place = row["store_id"], row["file_id"]
            edition = editions.get((*place, row["law"], row["version"]), {})
            if filters(own.get(place, {}) | known | edition):
                kept[row["store_id"]].append(row["id"])
        return {store_id: np.asarray(ids, np.int64) for store_id, ids in kept.items()}

    def _edition_facts(self, store_ids: Collection[str]) -> dict[Key, dict[str, Any]]:
        return {key: each.facts() for key, each in self.editions.of(list(store_ids)).items()}

    def _own_attributes(
        self, store_ids: Collection[str], file_ids: Collection[str] | None = None
    ) -> dict[tuple[str, str], dict[str, Any]]:
        """What their owners say of the files in stores, or of `file_ids` there, by store and file."""
        entries = tables.entries.c
        query = sa.select(entries.store_id, entries.file_id, entries.attributes)
        query = query.where(entries.store_id.in_(store_ids))
        if file_ids is not None:
            query = query.where(entries.file_id.in_(file_ids))
        with self.engine.connect() as connection:
            rows = connection.execute(query).all()
        return {(row.store_id, row.file_id): row.attributes for row in rows}


def facts(passage: Passage) -> dict[str, Any]:
    """What a passage's attributes say of it: law, article, version, page, start and end, as far as known."""
    values = {name: getattr(passage, name) for name in FACTS}
    return {name: value for name, value in values.items() if value is not None}


def _ordered(exact: Sequence[Hit], found: Sequence[Hit]) -> list[Hit]:
    """Named articles first, then by fused rank; a hit's score is at least that of every hit after it."""
    seen = {each.passage.id for each in exact}
    hits = [*exact, *(each for each in found if each.passage.id not in seen)]
    best = 0.0
    for at in range(len(hits) - 1, -1, -1):
        best = max(best, hits[at].score)
        hits[at] = Hit(hits[at].passage, best)
    return hits
