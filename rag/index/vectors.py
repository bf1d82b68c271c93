"""What Praxis needs of a store's vectors, as LlamaIndex's vector store; the same whatever holds them.

A node's id is the passage's database id, which is never used twice, and a node's document is its file. The state
database is the truth: whatever holds vectors is made from it, and these know which passages there are. So what is
held beyond them, after a crash or a restore, is found by nobody.
"""

from __future__ import annotations

import hashlib
import threading
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    VectorStoreQuery,
    VectorStoreQueryResult,
)
from pydantic import PrivateAttr

from rag.index.embedding import Vectors

Ids = npt.NDArray[np.int64]
_AT_ONCE = 1000
"""Vectors read together where all of them are read."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Vectors to be held, as rows, each with its id, its document (file) and its text's digest."""

    ids: Sequence[int]
    documents: Sequence[str]
    digests: Sequence[str]
    vectors: Vectors

    def __len__(self) -> int:
        return len(self.ids)

    def entries(self) -> Iterator[tuple[int, str, str, Vectors]]:
        """Id, document, digest and vector of each."""
        return zip(self.ids, self.documents, self.digests, self.vectors, strict=True)

    def parts(self, count: int) -> Iterator[Batch]:
        """The same, no more than `count` at a time."""
        for at in range(0, len(self), count):
            part = slice(at, at + count)
            yield Batch(self.ids[part], self.documents[part], self.digests[part], self.vectors[part])


class StoreVectors(BasePydanticVectorStore):
    """The unit vectors of one store, compared by inner product, exactly. May be used from several threads."""

    stores_text: bool = False
    dimensions: int

    _documents: dict[str, list[int]] = PrivateAttr(default_factory=dict)
    _digests: dict[int, str] = PrivateAttr(default_factory=dict)
    _turn: threading.RLock = PrivateAttr(default_factory=threading.RLock)

    def __init__(self, dimensions: int, **values: Any) -> None:
        super().__init__(dimensions=dimensions, **values)

    @property
    def provider(self) -> str:
        """What holds the vectors, by its name in models.yaml."""
        raise NotImplementedError

    @property
    def sound(self) -> bool:
        """Whether what holds the vectors is known to hold just these."""
        return True

    def __len__(self) -> int:
        return len(self._digests)

    def put(
        self, ids: Sequence[int], documents: Sequence[str], digests: Sequence[str], vectors: Vectors
    ) -> None:
        """Add `vectors`, each under its id, with the document (file) that it belongs to and its text's digest."""
        with self._turn:
            self.remember(ids, documents, digests)
            self._insert(Batch(ids, documents, digests, np.ascontiguousarray(vectors, np.float32)))

    def remember(self, ids: Sequence[int], documents: Sequence[str], digests: Sequence[str]) -> None:
        """Know these passages, whose vectors are or will be held."""
        with self._turn:
            for each, document, digest in zip(ids, documents, digests, strict=True):
                self._documents.setdefault(document, []).append(each)
                self._digests[each] = digest

    def ids(self) -> Ids:
        """The ids of all vectors."""
        with self._turn:
            return np.fromiter(self._digests, np.int64, len(self._digests))

    def digests(self) -> Mapping[int, str]:
        """Of each vector's text, by id."""
        with self._turn:
            return dict(self._digests)

    def ids_of(self, document: str) -> list[int]:
        """The ids of a document's vectors."""
        with self._turn:
            return list(self._documents.get(document, ()))

    @abstractmethod
    def nearest(self, vector: Vectors, limit: int, allowed: Ids | None = None) -> list[tuple[int, float]]:
        """The `limit` ids whose vectors are nearest to `vector`, best first, with their inner products; `allowed`, where
        given, are the only ones considered."""

    @abstractmethod
    def cosines(self, ids: Sequence[int], vector: Vectors) -> dict[int, float]:
        """The cosine of `vector` with each of `ids` that is here."""

    @abstractmethod
    def rows(self, ids: Sequence[int]) -> dict[int, Vectors]:
        """The vectors of those of `ids` that are held, to the last bit as they were put."""

    def _held(self) -> Mapping[int, str]:
        """The digests of what is held, by id, as whatever holds the vectors tells them."""
        return self.digests()

    @abstractmethod
    def _insert(self, batch: Batch) -> None:
        """Hold these vectors."""

    @abstractmethod
    def _remove(self, ids: Sequence[int]) -> None:
        """Hold these no longer."""

    def checksum(self) -> tuple[int, str]:
        """How many vectors are held, and a checksum over each one's id, text's digest and bytes."""
        digests = self._held()
        return checksum(digests, (self.rows(part) for part in _parts(sorted(digests))))

    # LlamaIndex's own names

    def add(self, nodes: Sequence[BaseNode], **_: Any) -> list[str]:
        if nodes:
            self.put(
                [int(node.node_id) for node in nodes],
                [node.ref_doc_id or "" for node in nodes],
                [str(node.metadata.get("digest", "")) for node in nodes],
                np.asarray([node.get_embedding() for node in nodes], np.float32),
            )
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **_: Any) -> None:
        with self._turn:
            if ids := self._documents.pop(ref_doc_id, None):
                for each in ids:
                    self._digests.pop(each, None)
                self._remove(ids)

    def delete_nodes(self, node_ids: list[str] | None = None, filters: Any = None, **_: Any) -> None:
        if filters is not None:
            raise NotImplementedError("the database evaluates filters; give node ids")
        with self._turn:
            gone = {int(each) for each in node_ids or ()} & self._digests.keys()
            for document, ids in list(self._documents.items()):
                kept = [each for each in ids if each not in gone]
                if kept:
                    self._documents[document] = kept
                else:
                    del self._documents[document]
            for each in gone:
                del self._digests[each]
            self._remove(sorted(gone))

    def query(self, query: VectorStoreQuery, **_: Any) -> VectorStoreQueryResult:
        """The nearest vectors; `node_ids`, where given, are the only ones considered."""
        vector = np.asarray(query.query_embedding, np.float32)
        if vector.shape != (self.dimensions,):
            raise ValueError(f"a query vector has {self.dimensions} numbers, not {vector.shape[-1]}")
        allowed = None if query.node_ids is None else np.asarray([int(each) for each in query.node_ids])
        found = self.nearest(vector, query.similarity_top_k, allowed)
        return VectorStoreQueryResult(
            ids=[str(each) for each, _ in found], similarities=[score for _, score in found]
        )


def checksum(digests: Mapping[int, str], parts: Iterator[Mapping[int, Vectors]]) -> tuple[int, str]:
    """How many vectors `parts` have, in the order of their ids, and a checksum over each one's id, digest and bytes."""
    made, count = hashlib.sha256(), 0
    for part in parts:
        for each in sorted(part):
            made.update(f"{each} {digests[each]} ".encode())
            made.update(np.asarray(part[each], "<f4").tobytes())
        count += len(part)
    return count, made.hexdigest()


def _parts(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for at in range(0, len(ids), _AT_ONCE):
        yield ids[at : at + _AT_ONCE]
