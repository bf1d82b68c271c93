"""Vectors in FAISS, in memory, with a cache on disk: the embedded way.

LlamaIndex's stock stores lose vectors' identities: one cannot delete, the other gives a living vector's id to a new
one and answers with the wrong document. Here the index on disk is a cache: a file of another generation than the
database's is not read but made anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from pydantic import PrivateAttr

from rag.index.embedding import Vectors
from rag.index.vectors import Batch, Ids, StoreVectors


class FaissStore(StoreVectors):
    """Vectors under int64 ids in a flat index."""

    _index: Any = PrivateAttr()

    def __init__(self, dimensions: int) -> None:
        super().__init__(dimensions)
        self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(dimensions))

    @property
    def client(self) -> Any:
        return self._index

    @property
    def provider(self) -> str:
        return "faiss"

    def nearest(self, vector: Vectors, limit: int, allowed: Ids | None = None) -> list[tuple[int, float]]:
        parameters = None
        if allowed is not None:
            selector = faiss.IDSelectorBatch(np.asarray(allowed, np.int64))
            parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        row = np.asarray(vector, np.float32).reshape(1, -1)
        with self._turn:
            scores, ids = self._index.search(row, min(limit, max(1, len(self))), params=parameters)
        return [(int(each), float(score)) for each, score in zip(ids[0], scores[0], strict=True) if each >= 0]

    def cosines(self, ids: Sequence[int], vector: Vectors) -> dict[int, float]:
        if not ids:
            return {}
        wanted = np.asarray(ids, np.int64)
        try:
            with self._turn:
                rows = self._index.reconstruct_batch(wanted)
        except (
            RuntimeError
        ):  # FAISS gives none where one is gone; a search that is bounded to them takes longer
            return dict(self.nearest(vector, len(ids), wanted))
        return dict(zip(ids, (rows @ np.asarray(vector, np.float32).reshape(-1)).tolist(), strict=True))

    def rows(self, ids: Sequence[int]) -> dict[int, Vectors]:
        with self._turn:
            held = [each for each in ids if each in self._digests]
            return dict(zip(held, self._index.reconstruct_batch(np.asarray(held, np.int64)), strict=True))

    def _insert(self, batch: Batch) -> None:
        if len(batch):
            self._index.add_with_ids(batch.vectors, np.asarray(batch.ids, np.int64))

    def _remove(self, ids: Sequence[int]) -> None:
        self._index.remove_ids(np.asarray(ids, np.int64))

    def save(self, folder: Path, key: str) -> None:
        """Write the index to `folder` under `key`, which names what it was made from; whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / "vectors.faiss.new"
        with self._turn:
            faiss.write_index(self._index, str(draft))
            count = len(self)
        manifest = folder / "manifest.json"
        manifest.unlink(missing_ok=True)
        os.replace(draft, folder / "vectors.faiss")
        temporary = folder / "manifest.json.new"
        temporary.write_text(json.dumps({"key": key, "count": count}), encoding="utf-8")
        os.replace(temporary, manifest)

    def load(
        self, folder: Path, key: str, ids: Sequence[int], documents: Sequence[str], digests: Sequence[str]
    ) -> bool:
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
        self.remember(ids, documents, digests)
        return True
