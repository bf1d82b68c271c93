"""Tuning a store on questions whose answers are known, and measuring on questions held out whether that helps.

Two kinds of questions are held out: any (five random folds), and those on laws that no question learned from is
about (five folds that share none), for a new document must not pay for what was learned on the others.
"""

from __future__ import annotations

import dataclasses
import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from praxis.audit import Actor, Line, note
from praxis.errors import Conflict, InvalidRequest
from praxis.state import writing
from rag import tables
from rag.answer.statutes import canonical_article, short_name
from rag.index.embedding import Embedder, Vectors
from rag.index.lexicon import statutory
from rag.index.retrievers import HybridRetriever, wordings
from rag.index.shelf import Shelf, StoreIndex
from rag.index.tuning import Tuning, key, learned

logger = logging.getLogger("praxis.rag")

FEWEST, MOST = 20, 20_000
"""Questions with a known answer: with fewer nothing can be held out, more are not needed."""
_FOLDS = 5
_WORST_LOSS = 0.005
"""What questions on laws not learned from may lose, of recall or reciprocal rank, for the rest to be kept."""
_FIRST = 10
_EMBEDDED_AT_ONCE = 16

Place = tuple[str, str]
"""What is found: a law and its article, or a file and its passage."""
Score = tuple[float, float]
"""Recall and reciprocal rank among the first ten."""
Fold = tuple[list[int], list[int]]
"""Which questions are learned from, and which are then asked."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the passages that answer it: each article's law and number, or each quote's file and text."""

    query: str
    gold: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Solved:
    """A question whose answers stand in the store."""

    query: str
    wanted: frozenset[Place]
    ids: tuple[int, ...]


class _Stopped(Exception):
    """The process ends."""


@dataclass(slots=True)
class _Passages:
    """A store's indexed passages, by id and by place."""

    ids: list[int]
    vectors: Vectors
    file: dict[int, str]
    digest: dict[int, str]
    place: dict[int, Place]
    at: dict[Place, list[int]]
    quoted: dict[str, list[tuple[int, str]]]  # per filename, its passages without space

    def answers(self, gold: Mapping[str, str]) -> list[int]:
        """The ids of the passages that a gold entry names."""
        if "law" in gold:
            return self.at.get((_law(gold["law"]), canonical_article(gold["article"])), [])
        quote = _dense(gold["quote"])
        return [id_ for id_, text in self.quoted.get(gold["filename"], ()) if quote in text]


class Tunings:
    """What each store has learned, and the work of learning: one thread, one store after another refused meanwhile."""

    def __init__(self, engine: Engine, embedder: Embedder, shelf: Shelf) -> None:
        self._engine = engine
        self._embedder = embedder
        self._shelf = shelf
        self._running: dict[str, float] = {}  # how much of the work is done, 0 to 1
        self._failed: dict[str, str] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, store_id: str, questions: Sequence[Question], seed: int, by: Actor) -> None:
        """Begin to tune a store. Raises Conflict where one is being tuned or another embedder made the index, and
        InvalidRequest where too few questions are answered by it."""
        index = self._shelf.index(store_id)
        passages = self._passages(store_id)
        solved = _solve(questions, passages)
        if len(solved) < FEWEST:
            raise InvalidRequest(
                f"Only {len(solved)} of {len(questions)} questions name an answer that the knowledge base holds; "
                f"tuning needs {FEWEST}. `praxis bench retrieval … --check-gold` lists what is missing.",
                param="questions",
            )
        with self._lock:
            if self._running:
                raise Conflict(
                    f"`{next(iter(self._running))}` is being tuned; wait for it to end.",
                    code="tuning_in_progress",
                )
            self._running[store_id] = 0.0
            self._failed.pop(store_id, None)
        work = _Work(self._embedder, index, passages, solved, seed, self._go_on(store_id))
        self._thread = threading.Thread(
            target=self._run, args=(store_id, work, len(questions), by), name="tuning", daemon=True
        )
        self._thread.start()

    def describe(self, store_id: str) -> dict[str, Any]:
        """How far tuning is, and what it found."""
        told: dict[str, Any] = {"object": "vector_store.tuning", "vector_store_id": store_id}
        if (done := self._running.get(store_id)) is not None:
            return told | {"status": "in_progress", "progress": round(done, 3)}
        if reason := self._failed.get(store_id):
            return told | {"status": "failed", "last_error": {"code": "server_error", "message": reason}}
        with self._engine.connect() as connection:
            query = sa.select(tables.tunings).where(tables.tunings.c.store_id == store_id)
            row = connection.execute(query).mappings().first()
        if row is None:
            return told | {"status": "none"}
        applied = row["learned"] is not None and row["fingerprint"] == self._embedder.fingerprint
        told |= {"status": "completed", "applied": applied, "created_at": row["created_at"]}
        return told | dict(row["report"])

    def remove(self, store_id: str, by: Actor) -> None:
        """Forget what a store learned. Raises Conflict while it is learning."""
        if store_id in self._running:
            raise Conflict(f"`{store_id}` is being tuned; wait for it to end.", code="tuning_in_progress")
        self._failed.pop(store_id, None)
        self._put(store_id, None, None, by)

    def stop(self) -> None:
        """End the work, if there is any, and wait for that."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _go_on(self, store_id: str) -> Callable[[float | None], None]:
        def go_on(done: float | None) -> None:
            if self._stopping.is_set():
                raise _Stopped
            if done is not None:
                self._running[store_id] = done

        return go_on

    def _run(self, store_id: str, work: _Work, given: int, by: Actor) -> None:
        began = time.monotonic()
        try:
            tuning, report = work.tune()
            report |= {"questions": given, "used": len(work.solved), "seed": work.seed}
            self._put(store_id, tuning, report, by)
            seconds = round(time.monotonic() - began, 1)
            logger.info(
                "store tuned", extra={"store": store_id, "kept": tuning is not None, "seconds": seconds}
            )
        except _Stopped:
            logger.info("tuning given up, for the process ends", extra={"store": store_id})
        except Exception:  # the edge of a thread: without it a failure would look like work without end
            logger.exception("tuning failed", extra={"store": store_id})
            self._failed[store_id] = "Tuning failed; rag's log has the details."
        finally:
            del self._running[store_id]

    def _put(self, store_id: str, tuning: Tuning | None, report: Mapping[str, Any] | None, by: Actor) -> None:
        """Store what was learned, or that it does not help, or nothing, and search by it from now on."""
        tunings = tables.tunings
        with self._shelf.changing([store_id]) as indexes:
            with writing(self._engine).begin() as connection:
                connection.execute(sa.delete(tunings).where(tunings.c.store_id == store_id))
                if report is not None and _exists(connection, store_id):
                    connection.execute(
                        sa.insert(tunings).values(
                            store_id=store_id,
                            fingerprint=self._embedder.fingerprint,
                            created_at=int(time.time()),
                            learned=tuning and tuning.dumped(),
                            report=dict(report),
                        )
                    )
                note(connection, by, Line("knowledge.change", store_id, detail="tuning"))
            for index in indexes.values():
                index.tuning = tuning

    def _passages(self, store_id: str) -> _Passages:
        columns = [
            tables.passages.c[name]
            for name in ("id", "file_id", "law", "article", "text", "digest", "vector")
        ]
        query = (
            sa.select(tables.files.c.filename, *columns)
            .join(tables.files, tables.files.c.id == tables.passages.c.file_id)
            .where(tables.passages.c.store_id == store_id, tables.passages.c.vector.is_not(None))
            .order_by(tables.passages.c.id)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        raw = b"".join(row.vector for row in rows)
        vectors = np.frombuffer(raw, "<f4").reshape(-1, self._embedder.dimensions)
        files, digests = {row.id: row.file_id for row in rows}, {row.id: row.digest for row in rows}
        found = _Passages(list(files), vectors, files, digests, {}, {}, {})
        for row in rows:
            place = (
                (_law(row.law), canonical_article(row.article))
                if row.law and row.article
                else (row.file_id, str(row.id))
            )
            found.place[row.id] = place
            found.at.setdefault(place, []).append(row.id)
            found.quoted.setdefault(row.filename, []).append((row.id, _dense(row.text)))
        return found


def _exists(connection: Connection, store_id: str) -> bool:
    """Whether the store is still there, for it may have been deleted while it was tuned."""
    return (
        connection.execute(sa.select(tables.stores.c.id).where(tables.stores.c.id == store_id)).first()
        is not None
    )


@dataclass(slots=True)
class _Work:
    """One tuning, from questions to what is kept. `go_on` hears now and then what share of it is done, and raises where
    it is to end."""

    embedder: Embedder
    index: StoreIndex
    passages: _Passages
    solved: list[_Solved]
    seed: int
    go_on: Callable[[float | None], None]

    def tune(self) -> tuple[Tuning | None, dict[str, Any]]:
        """What was learned, None where it does not help, and the report."""
        vectors = self._embedded([each.query for each in self.solved])
        everything = list(range(len(self.solved)))
        plain = self._ranked(vectors, everything, None)
        report: dict[str, Any] = {}
        for at, (name, folds) in enumerate((("random", self._random()), ("apart", _apart(self.solved)))):
            report[name] = self._held_out(vectors, folds, plain, at / 2)
        if not _helps(report):
            return None, report | {"kept": False}
        return self._learned(vectors, everything), report | {"kept": True}

    def _random(self) -> list[Fold]:
        """Folds of any questions."""
        order = np.random.default_rng(self.seed).permutation(len(self.solved)).tolist()
        parts = [sorted(order[at::_FOLDS]) for at in range(_FOLDS)]
        return [(sorted(set(order) - set(part)), part) for part in parts]

    def _held_out(
        self, vectors: Vectors, folds: Sequence[Fold], plain: Sequence[Score], done: float
    ) -> dict[str, Any] | None:
        """The scores of questions held out, before and after; None where no fold has questions to learn from."""
        before: list[Score] = []
        after: list[Score] = []
        for at, (known, asked) in enumerate(folds):
            self.go_on(done + at / len(folds) / 2)
            if known and asked:
                after += self._ranked(vectors, asked, self._learned(vectors, known))
                before += [plain[each] for each in asked]
        if not after:
            return None
        return {"questions": len(after), "before": _means(before), "after": _means(after)}

    def _learned(self, vectors: Vectors, known: Sequence[int]) -> Tuning:
        """What the questions at `known` teach about the documents that they are about."""
        passages = self.passages
        covered = {passages.file[id_] for at in known for id_ in self.solved[at].ids}
        rows = [at for at, id_ in enumerate(passages.ids) if passages.file[id_] in covered]
        row_of = {passages.ids[at]: row for row, at in enumerate(rows)}
        turn = learned(
            vectors[list(known)],
            [[row_of[id_] for id_ in self.solved[at].ids] for at in known],
            passages.vectors[rows],
            self.seed,
            lambda: self.go_on(None),
        )
        return Tuning(turn, frozenset(key(passages.digest[passages.ids[at]]) for at in rows))

    def _ranked(self, vectors: Vectors, asked: Sequence[int], tuning: Tuning | None) -> list[Score]:
        """Recall and reciprocal rank of each question at `asked`, as a search with `tuning` finds."""
        index = dataclasses.replace(self.index, tuning=tuning)
        results = []
        for at in asked:
            self.go_on(None)
            question = self.solved[at]
            restated = statutory(question.query)
            both = (
                np.vstack([vectors[at], self._embedded([restated])[0]]) if restated else vectors[at : at + 1]
            )
            said = wordings(question.query, restated, both)
            retriever = HybridRetriever({"": index}, None, said, self.embedder.span, _FIRST)
            found = [
                self.passages.place.get(int(each.node.node_id)) for each in retriever.retrieve(question.query)
            ]
            results.append(_scored(question.wanted, [each for each in found if each is not None]))
        return results

    def _embedded(self, texts: Sequence[str]) -> Vectors:
        """Vectors of questions, a few at a time, so that those of people who ask are never long behind."""
        parts = []
        for at in range(0, len(texts), _EMBEDDED_AT_ONCE):
            self.go_on(None)
            parts.append(self.embedder.queries(texts[at : at + _EMBEDDED_AT_ONCE]))
        return np.concatenate(parts)


def _solve(questions: Sequence[Question], passages: _Passages) -> list[_Solved]:
    """The questions that the store can answer, each with its places and passages."""
    solved = []
    for each in questions:
        ids = sorted({id_ for gold in each.gold for id_ in passages.answers(gold)})
        if ids:
            solved.append(_Solved(each.query, frozenset(passages.place[id_] for id_ in ids), tuple(ids)))
    return solved


def _apart(solved: Sequence[_Solved]) -> list[Fold]:
    """Folds of which none learns from a law that it is asked about: laws are dealt out whole, largest first."""
    laws = [sorted({place[0] for place in each.wanted}) for each in solved]
    sizes = [0] * _FOLDS
    fold_of: dict[str, int] = {}
    for law, size in sorted(Counter(each[0] for each in laws).items(), key=lambda each: (-each[1], each[0])):
        fold_of[law] = sizes.index(min(sizes))
        sizes[fold_of[law]] += size
    folds = []
    for fold in range(_FOLDS):
        asked = [at for at, each in enumerate(laws) if fold_of[each[0]] == fold]
        named = {law for at in asked for law in laws[at]}
        folds.append(([at for at, each in enumerate(laws) if not named & set(each)], asked))
    return folds


def _scored(wanted: frozenset[Place], found: Sequence[Place]) -> Score:
    distinct = list(dict.fromkeys(found))
    rank = next((at for at, each in enumerate(distinct, 1) if each in wanted), 0)
    return len(wanted & set(distinct)) / len(wanted), 1 / rank if rank else 0.0


def _means(values: Sequence[Score]) -> dict[str, float]:
    recall, rank = np.mean(values, axis=0)
    return {"recall@10": round(float(recall), 4), "mrr@10": round(float(rank), 4)}


def _helps(report: Mapping[str, Any]) -> bool:
    """Whether questions held out gain, and those on other laws lose next to nothing."""
    random, apart = report["random"], report["apart"]
    if random is None or sum(random["after"].values()) <= sum(random["before"].values()):
        return False
    return apart is None or all(
        apart["after"][name] >= value - _WORST_LOSS for name, value in apart["before"].items()
    )


def _law(name: str) -> str:
    """A law under the name by which its books and full and short titles are one."""
    return short_name(name).split("·")[0]


def _dense(text: str) -> str:
    return re.sub(r"\s+", "", text)


def read(entries: Any) -> list[Question]:
    """The questions of a request. Raises InvalidRequest naming the entry that is none."""
    if not isinstance(entries, list) or not 1 <= len(entries) <= MOST:
        raise InvalidRequest(f"`questions` must be a list of 1 to {MOST} questions.", param="questions")
    return [_question(each, f"questions[{at}]") for at, each in enumerate(entries)]


def _question(entry: Any, where: str) -> Question:
    query, gold = (entry.get("query"), entry.get("gold")) if isinstance(entry, dict) else (None, None)
    if not isinstance(query, str) or not query.strip():
        raise InvalidRequest(f"`{where}` needs a text in `query`.", param=where)
    if not isinstance(gold, list) or not gold or not all(_names_passage(each) for each in gold):
        raise InvalidRequest(
            f"`{where}.gold` must be a list of objects with `law` and `article`, or with `filename` and `quote`.",
            param=where,
        )
    return Question(query, tuple(gold))


def _names_passage(value: Any) -> bool:
    pairs = (("law", "article"), ("filename", "quote"))
    return isinstance(value, dict) and any(
        all(isinstance(value.get(name), str) and value[name].strip() for name in pair) for pair in pairs
    )
