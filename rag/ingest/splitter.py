"""Splitting in a bounded process of its own: a text made to be slow or endless costs its own file, and no search."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from rag.ingest.document import Chunk, Document, Unreadable
from rag.ingest.worker import Limits, answered, child


@dataclass(frozen=True, slots=True)
class Split:
    """A document's chunks, and the editions of laws that it holds (`rag.ingest.laws`)."""

    chunks: list[Chunk]
    laws: list[dict[str, Any]] | None


MAX_CHUNKS = 50_000
"""Passages of one file; above the largest collection of statutes, far below what would choke the index."""


class Splitter:
    """Splits one text after another. Its process starts with the first one, for loading the tokenizer takes a second, and
    anew after one that it could not bear; `close` it in the end."""

    def __init__(self, tokenizer: Callable[[], str], limits: Limits) -> None:
        """`tokenizer` gives the one whose tokens are counted as `tokenizers` writes it; an empty one counts characters."""
        self._tokenizer = tokenizer
        self._limits = limits
        self._turn = asyncio.Lock()
        self._running = AsyncExitStack()
        self._child: asyncio.subprocess.Process | None = None

    async def split(self, document: Document, limit: int, overlap: int) -> Split:
        """A document split into chunks of at most `limit` tokens. Raises Unreadable when that takes too much."""
        job = {"text": document.text, "marked": document.headings, "limit": limit, "overlap": overlap}
        async with self._turn:
            try:
                answer = await self._asked(job)
            except BaseException:
                # A process that was left before it answered would give this answer to the next one.
                await self._end()
                raise
            if answer is None:
                await self._end()
        if answer is None:
            message = "The file takes more time or memory to split into passages than a document should; cut it in parts."
            raise Unreadable("invalid_file", message)
        if "chunks" not in answer:
            message = f"The file has more than {MAX_CHUNKS:,} passages; cut it in parts."
            raise Unreadable("invalid_file", message)
        return Split([Chunk(*each) for each in answer["chunks"]], answer["laws"])

    async def close(self) -> None:
        """End the process; the next text starts another."""
        async with self._turn:
            await self._end()

    async def _asked(self, job: dict[str, Any]) -> dict[str, Any] | None:
        if self._child is not None and self._child.returncode is not None:
            await self._end()  # somebody ended it while it was idle
        running = self._child or await self._start()
        assert running.stdin is not None
        try:
            running.stdin.write(await asyncio.to_thread(_line, job))
            async with asyncio.timeout(self._limits.wall):
                await running.stdin.drain()
                return await answered(running)
        except (TimeoutError, ConnectionError):
            return None

    async def _start(self) -> asyncio.subprocess.Process:
        bounds = (str(self._limits.memory), str(self._limits.processor), str(MAX_CHUNKS))
        self._child = await self._running.enter_async_context(
            child("split", *bounds, stdin=asyncio.subprocess.PIPE)
        )
        assert self._child.stdin is not None
        self._child.stdin.write(_line(await asyncio.to_thread(self._tokenizer)))
        return self._child

    async def _end(self) -> None:
        self._child = None
        await self._running.aclose()


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
