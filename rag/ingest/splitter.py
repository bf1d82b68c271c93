"""Splitting in a bounded process of its own: a text made to be slow or endless costs its own file, and no search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rag.ingest.document import Chunk, Document, Unreadable
from rag.ingest.standing import Standing
from rag.ingest.worker import Limits


@dataclass(frozen=True, slots=True)
class Split:
    """A document's chunks, and the editions of laws that it holds (`rag.ingest.laws`)."""

    chunks: list[Chunk]
    laws: list[dict[str, Any]] | None


MAX_CHUNKS = 50_000
"""Passages of one file; above the largest collection of statutes, far below what would choke the index."""


class Splitter:
    """Splits one text after another; `close` it in the end."""

    def __init__(self, tokenizer: str, limits: Limits) -> None:
        """`tokenizer` is the file of the one whose tokens are counted, as `tokenizers` writes it; without one, characters
        are counted."""
        bounds = (str(limits.memory), str(limits.processor))
        self._process = Standing("split", *bounds, str(MAX_CHUNKS), tokenizer, wall=limits.wall)

    async def split(self, document: Document, limit: int, overlap: int) -> Split:
        """A document split into chunks of at most `limit` tokens. Raises Unreadable when that takes too much."""
        job = {"text": document.text, "marked": document.headings, "limit": limit, "overlap": overlap}
        answer = await self._process.do(job)
        if answer is None:
            message = "The file takes more time or memory to split into passages than a document should; cut it in parts."
            raise Unreadable("invalid_file", message)
        if "chunks" not in answer:
            message = f"The file has more than {MAX_CHUNKS:,} passages; cut it in parts."
            raise Unreadable("invalid_file", message)
        return Split([Chunk(*each) for each in answer["chunks"]], answer["laws"])

    async def close(self) -> None:
        """End the process; the next text starts another."""
        await self._process.close()
