"""A LlamaIndex vector store over FAISS that can delete.

The stock stores lose vectors' identities: one cannot delete, the other gives a living vector's id to a new one and
answers with the wrong document. Here a node's id is the passage's database id, which is never used twice, and the
index on disk is a cache: a file of another generation than the database's is not read but made anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import faiss
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


class FaissStore(BasePydanticVectorStore):
    """Unit vectors under int64 ids, searched by inner product, exactly. Not thread-safe: the shelf locks."""

    stores_text: bool = False
    dimensions: int

    _index: Any = PrivateAttr()
    _documents: dict[str, list[int]] = PrivateAttr(default_factory=dict)

    def __init__(self, dimensions: int) -> None:
        super().__init__(stores_text=False, dimensions=dimensions)
        self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(dimensions))

    @property
    def client(self) -> Any:
        return self._index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def put(self, ids: Sequence[int], documents: Sequence[str], vectors: Vectors) -> None:
        """Add `vectors`, each under its id, each belonging to the document (file) beside it."""
        if len(ids):
            self._index.add_with_ids(np.ascontiguousarray(vectors, np.float32), np.asarray(ids, np.int64))
        self._remember(ids, documents)

    def add(self, nodes: Sequence[BaseNode], **_: Any) -> list[str]:
        documents = [node.ref_doc_id or "" for node in nodes]
        self.put(
            [int(node.node_id) for node in nodes],
            documents,
            np.asarray([node.get_embedding() for node in nodes]),
        )
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **_: Any) -> None:
        if ids := self._documents.pop(ref_doc_id, None):
            self._index.remove_ids(np.asarray(ids, np.int64))

    def delete_nodes(self, node_ids: list[str] | None = None, filters: Any = None, **_: Any) -> None:
        if filters is not None:
            raise NotImplementedError("the database evaluates filters; give node ids")
        gone = {int(each) for each in node_ids or ()}
        self._index.remove_ids(np.asarray(sorted(gone), np.int64))
        kept = {
            document: [each for each in ids if each not in gone] for document, ids in self._documents.items()
        }
        self._documents = {document: ids for document, ids in kept.items() if ids}

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

    def ids(self) -> npt.NDArray[np.int64]:
        """The ids of all vectors."""
        return np.asarray([each for ids in self._documents.values() for each in ids], np.int64)

    def nearest(
        self, vector: Vectors, limit: int, allowed: npt.NDArray[np.int64] | None = None
    ) -> list[tuple[int, float]]:
        """The `limit` ids whose vectors are nearest to `vector`, best first, with their inner products."""
        parameters = None
        if allowed is not None:
            selector = faiss.IDSelectorBatch(np.asarray(allowed, np.int64))
            parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        row = np.asarray(vector, np.float32).reshape(1, -1)
        scores, ids = self._index.search(row, min(limit, max(1, len(self))), params=parameters)
        return [(int(each), float(score)) for each, score in zip(ids[0], scores[0], strict=True) if each >= 0]

    def ids_of(self, document: str) -> list[int]:
        """The ids of a document's vectors."""
        return list(self._documents.get(document, ()))

    def cosines(self, ids: Sequence[int], vector: Vectors) -> dict[int, float]:
        """The cosine of `vector` with each of `ids` that is here."""
        if not ids:
            return {}
        wanted = np.asarray(ids, np.int64)
        try:
            rows = self._index.reconstruct_batch(wanted)
        except (
            RuntimeError
        ):  # FAISS gives none where one is gone; a search that is bounded to them takes longer
            return dict(self.nearest(vector, len(ids), wanted))
        return dict(zip(ids, (rows @ np.asarray(vector, np.float32).reshape(-1)).tolist(), strict=True))

    def save(self, folder: Path, key: str) -> None:
        """Write the index to `folder` under `key`, which names what it was made from; whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / "vectors.faiss.new"
        faiss.write_index(self._index, str(draft))
        manifest = folder / "manifest.json"
        manifest.unlink(missing_ok=True)
        os.replace(draft, folder / "vectors.faiss")
        temporary = folder / "manifest.json.new"
        temporary.write_text(json.dumps({"key": key, "count": len(self)}), encoding="utf-8")
        os.replace(temporary, manifest)

    def load(self, folder: Path, key: str, ids: Sequence[int], documents: Sequence[str]) -> bool:
        """Read the index from `folder` if it was saved under `key` and holds just `ids`; whether it was."""
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            if manifest != {"key": key, "count": len(ids)}:
                return False
            index: Any = faiss.read_index(str(folder / "vectors.faiss"))
            stored = faiss.vector_to_array(index.id_map)
        except (OSError, ValueError, RuntimeError, AttributeError):
            return False
        if index.d != self.dimensions or not np.array_equal(
            np.sort(stored), np.sort(np.asarray(ids, np.int64))
        ):
            return False
        self._index = index
        self._remember(ids, documents)
        return True

    def _remember(self, ids: Iterable[int], documents: Iterable[str]) -> None:
        for each, document in zip(ids, documents, strict=True):
            self._documents.setdefault(document, []).append(each)
