"""Embedding passages in a bounded process of its own: it may take all cores and fail in native code, and no search waits
or ends for that."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rag.index.embedding import Embedder, Vectors
from rag.index.model import accelerated, cores
from rag.ingest.document import Unreadable
from rag.ingest.standing import Standing
from rag.ingest.worker import Limits

_ATTEMPTS = 3
_COPIES = 3
"""How often a model's file may be in the process's memory: mapped, arranged for computing, and while it is read."""


class EmbeddingProcess:
    """The embedding model once more, for passages only; `close` it in the end."""

    def __init__(self, embedder: Embedder, limits: Limits) -> None:
        self._dimensions = embedder.dimensions
        # Where there is a GPU, its driver maps more than any bound.
        memory = 0 if accelerated() else limits.embedding_memory + _COPIES * _weight(Path(embedder.model))
        prefixes = (embedder.manner.query, embedder.manner.passage)
        work = (
            "embed",
            str(memory),
            str(limits.embedding_processor),
            str(cores()),
            embedder.model,
            *prefixes,
        )
        self._process = Standing(*work, wall=limits.embedding_wall)

    async def vectors(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per passage, as rows. Raises Unreadable when the process ends, and ends again, before it has
        made them."""
        for _ in range(_ATTEMPTS):
            if (answer := await self._process.do(list(texts))) is not None:
                raw = base64.b64decode(answer["vectors"])
                return np.frombuffer(raw, "<f4").reshape(len(texts), self._dimensions)
        message = (
            "Embedding the file's passages took too much time or memory; put it in again, or cut it in parts."
        )
        raise Unreadable("server_error", message)

    async def close(self) -> None:
        """End the process; the next texts start another."""
        await self._process.close()


def _weight(folder: Path) -> int:
    """The bytes of the files of a model."""
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
