"""Ingestion: files that stand in stores as `in_progress` are read, split, embedded and made searchable.

The queue is the database itself, so that it survives any end of the process: a file becomes `completed` in the one
transaction that writes its passages, and what was `in_progress` at a crash is begun again at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import sqlalchemy as sa
from llama_index.core.schema import BaseNode, MetadataMode, TextNode
from sqlalchemy import Connection, Engine

from praxis.errors import Conflict, NotFound
from praxis.state import writing
from rag import tables
from rag.contents import FilesAway
from rag.files import Files
from rag.index.embedding import Embedder, Vectors
from rag.index.shelf import Shelf
from rag.index.terms import keyword_text
from rag.ingest.document import Document, Unreadable
from rag.ingest.drafts import Drafts, Job, Unwanted
from rag.ingest.embedding import EmbeddingProcess
from rag.ingest.nodes import nodes
from rag.ingest.splitter import Split, Splitter
from rag.ingest.text import known_encoding, plain
from rag.ingest.worker import Limits, Pages, extract
from rag.replacement import take_place
from rag.stores import bump

logger = logging.getLogger("praxis.rag")

_PART = 128
"""Texts that are embedded and whose vectors are kept together."""
_HEAD = 64
"""Tokens of a chunk's window that are kept for the law's name and the model's own marks."""


class Ingestion:
    """Works through the files in progress, several at once; `wake` it when there are new ones."""

    def __init__(
        self, engine: Engine, files: Files, shelf: Shelf, embedder: Embedder, limits: Limits, workers: int = 2
    ) -> None:
        self._engine = engine
        self._files = files
        self._shelf = shelf
        self._embedder = embedder
        self._limits = limits
        self._splitter = Splitter(embedder.tokenizer, limits)
        self._embedding = EmbeddingProcess(embedder, limits)
        self._making = asyncio.Lock()
        self._workers = workers
        self._awake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drafts = Drafts(engine)
        self._reading: dict[str, asyncio.Lock] = {}

    def wake(self) -> None:
        """There is something new; may be called from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._awake.set)

    async def run(self) -> None:
        """Work until cancelled."""
        self._loop = asyncio.get_running_loop()
        running: dict[tuple[str, str], asyncio.Task[None]] = {}
        try:
            while True:
                self._awake.clear()
                for job in await asyncio.to_thread(self._pending, self._workers + len(running)):
                    key = (job.store_id, job.file_id)
                    if key not in running and len(running) < self._workers:
                        running[key] = asyncio.create_task(self._take(job))
                if not running:
                    await asyncio.to_thread(self._shelf.save)
                woken = asyncio.create_task(self._awake.wait())
                await asyncio.wait({woken, *running.values()}, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
                running = {key: task for key, task in running.items() if not task.done()}
        finally:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)
            await self._splitter.close()
            await self._embedding.close()

    def _pending(self, limit: int) -> Sequence[Job]:
        entries, files = tables.entries.c, tables.files.c
        query = (
            sa.select(
                entries.store_id,
                entries.file_id,
                files.filename,
                entries.chunk_size,
                entries.chunk_overlap,
                entries.attributes,
            )
            .join(tables.files, files.id == entries.file_id)
            .where(entries.status == "in_progress")
            .order_by(entries.created_at, entries.file_id)
            .limit(limit)
        )
        with self._engine.connect() as connection:
            return [Job(*row) for row in connection.execute(query)]

    async def _take(self, job: Job) -> None:
        """Ingest one file; whatever happens, it ends `completed` or `failed`, unless it was taken away meanwhile."""
        facts = {"store": job.store_id, "file": job.file_id}
        try:
            document = await self._document(job)
            split = await self._split(job, document)
            passages, embedded = await self._ingest(job, document, split)
            logger.info("file completed", extra=facts | {"passages": passages, "embedded": embedded})
        except (Unreadable, Conflict) as error:
            code = error.code if isinstance(error, Unreadable) else "server_error"
            logger.info("file failed", extra=facts | {"code": code})
            await asyncio.to_thread(self._fail, job, code, error.message)
        except (Unwanted, NotFound):
            return
        except FilesAway as error:
            await asyncio.sleep(error.retry_after or 0)  # it stays in progress and is taken again
        except Exception:  # the edge of a background task: one bad file must not stop the others
            logger.exception("file failed", extra=facts)
            message = "Praxis failed on this file; its log has the details. Try again, or as another format."
            await asyncio.to_thread(self._fail, job, "server_error", message)

    async def _document(self, job: Job) -> Document:
        """The file's text, read once however many stores it goes into."""
        async with self._reading.setdefault(job.file_id, asyncio.Lock()):
            document = await asyncio.to_thread(self._files.document, job.file_id)
            if document is None:
                await asyncio.to_thread(self._drafts.tell, job, "reading")
                pages = Pages(self._drafts.pages(job.file_id), partial(self._drafts.keep_page, job))
                async with self._files.fetched(job.file_id) as path:
                    document = await extract(path, job.filename, self._limits, job.encoding, pages)
                await asyncio.to_thread(self._files.keep, job.file_id, document)
        with contextlib.suppress(KeyError):
            del self._reading[job.file_id]
        if (
            job.encoding
            and document.encoding
            and plain(known_encoding(job.encoding)) != plain(document.encoding)
        ):
            raise Unreadable(
                "invalid_file",
                f"The file was read as `{document.encoding}` for another knowledge base; to have it read as "
                f"`{job.encoding}`, upload it anew.",
            )
        return document

    async def _split(self, job: Job, document: Document) -> Split:
        await asyncio.to_thread(self._drafts.tell, job, "splitting")
        limit = max(32, min(job.chunk_size, self._embedder.max_tokens - _HEAD))
        return await self._splitter.split(document, limit, job.chunk_overlap)

    async def _ingest(self, job: Job, document: Document, split: Split) -> tuple[int, int]:
        """Embed, and make searchable; how many passages there are, and how many were embedded for it."""
        passages, texts = await asyncio.to_thread(self._texts, document, split)
        vectors, embedded = await self._embedded(job, dict(texts.values()))
        digests = {at: digest for at, (digest, _) in texts.items()}
        await asyncio.to_thread(self._commit, job, document, split, passages, digests, vectors)
        return len(passages), embedded

    def _texts(self, document: Document, split: Split) -> tuple[list[TextNode], dict[int, tuple[str, str]]]:
        """The document's passages, and of those that are searched, by their place among them, digest and text to embed."""
        passages = list(nodes(document, split.chunks))
        indexed = [at for at, node in enumerate(passages) if node.metadata["indexed"]]
        texts = {at: passages[at].get_content(MetadataMode.EMBED) for at in indexed}
        return passages, {at: (self._digest(text), text) for at, text in texts.items()}

    def _digest(self, text: str) -> str:
        return hashlib.sha256(f"{self._embedder.fingerprint}\n{text}".encode()).hexdigest()

    async def _embedded(self, job: Job, texts: Mapping[str, str]) -> tuple[dict[str, Any], int]:
        """A vector for each text, by its digest, and how many had to be made. What was ever embedded and is still there is not embedded again,
        though two files with the same text come in at once, or the process was killed half-way."""
        vectors = await asyncio.to_thread(self._drafts.vectors, sorted(texts))
        await asyncio.to_thread(self._drafts.tell, job, "embedding", len(vectors), len(texts))
        # Texts of one length cost least together.
        made = 0
        left = sorted(texts.keys() - vectors.keys(), key=lambda each: (len(texts[each]), each))
        for at in range(0, len(left), _PART):
            part = left[at : at + _PART]
            async with self._making:
                vectors |= await asyncio.to_thread(self._drafts.vectors, part)
                if fresh := [each for each in part if each not in vectors]:
                    rows = await self._embedding.vectors([texts[each] for each in fresh])
                    vectors |= dict(zip(fresh, rows, strict=True))
                    keep = partial(self._drafts.keep_vectors, job, fresh, rows, len(vectors), len(texts))
                    await asyncio.to_thread(keep)
                    made += len(fresh)
        return vectors, made

    def _commit(
        self,
        job: Job,
        document: Document,
        split: Split,
        nodes: Sequence[BaseNode],
        digests: dict[int, str],
        vectors: dict[str, Any],
    ) -> None:
        """Make the file's passages visible, all of them at one moment, in the database and to searches."""
        with self._shelf.changing([job.store_id]) as indexes:
            with writing(self._engine).begin() as connection:
                if not self._still_wanted(connection, job):
                    return
                ids = [
                    self._insert(connection, job, node, digests.get(at), vectors)
                    for at, node in enumerate(nodes)
                ]
                size = sum(len(node.get_content(MetadataMode.NONE).encode()) for node in nodes)
                usage = size + 4 * self._embedder.dimensions * len(digests)
                report = _report(document, nodes)
                self._settle(
                    connection,
                    job,
                    status="completed",
                    usage_bytes=usage,
                    progress=report,
                    edition=split.laws,
                )
                self._drafts.clear(connection, job)
                replaced, deleted = take_place(connection, job.store_id, job.file_id)
                connection.execute(
                    sa.update(tables.stores)
                    .where(tables.stores.c.id == job.store_id)
                    .values(fingerprint=self._embedder.fingerprint)
                )
                bump(connection, job.store_id)
            for index in indexes.values():
                if replaced is not None:
                    index.remove(replaced)
                found = [ids[at] for at in digests]
                rows: Vectors = np.asarray([vectors[digest] for digest in digests.values()], np.float32)
                words = [_words(nodes[at]) for at in digests]
                index.add(
                    found,
                    job.file_id,
                    rows.reshape(-1, self._embedder.dimensions),
                    words,
                    digests.values(),
                )
                index.generation += 1
        if deleted and replaced is not None:
            self._files.clear()

    def _still_wanted(self, connection: Connection, job: Job) -> bool:
        entries, stores = tables.entries.c, tables.stores.c
        row = connection.execute(
            sa.select(entries.status, stores.fingerprint)
            .join(tables.stores, stores.id == entries.store_id)
            .where(entries.store_id == job.store_id, entries.file_id == job.file_id)
        ).first()
        if row is None or row.status != "in_progress":
            return False
        self._shelf.check(row.fingerprint, job.store_id)
        return True

    def _insert(
        self, connection: Connection, job: Job, node: BaseNode, digest: str | None, vectors: dict[str, Any]
    ) -> int:
        facts = {key: value for key, value in node.metadata.items() if key != "indexed"}
        vector = None if digest is None else np.asarray(vectors[digest], "<f4").tobytes()
        values = facts | {"digest": digest, "vector": vector, "text": node.get_content(MetadataMode.NONE)}
        result = connection.execute(
            sa.insert(tables.passages).values(values | {"store_id": job.store_id, "file_id": job.file_id})
        )
        key = result.inserted_primary_key
        assert key is not None
        return int(key[0])

    def _fail(self, job: Job, code: str, message: str) -> None:
        with writing(self._engine).begin() as connection:
            self._settle(connection, job, status="failed", error_code=code, error_message=message)

    def _settle(self, connection: Connection, job: Job, **values: Any) -> None:
        entries = tables.entries
        connection.execute(
            sa.update(entries)
            .where(
                entries.c.store_id == job.store_id,
                entries.c.file_id == job.file_id,
                entries.c.status == "in_progress",
            )
            .values(values)
        )


def _report(document: Document, nodes: Sequence[BaseNode]) -> dict[str, Any]:
    """What was read of a file, for its owner."""
    known = {
        "format": document.format,
        "encoding": document.encoding,
        "characters": len(document.text),
        "pages": len(document.pages) or None,
        "pages_recognised": list(document.ocr),
        "chunks": len(nodes),
        "articles": len({node.metadata["article"] for node in nodes} - {None}),
        "notes": list(document.notes),
    }
    return {"step": "ready"} | {name: value for name, value in known.items() if value}


def _words(node: BaseNode) -> str:
    facts = node.metadata
    return keyword_text(facts["law"], facts["path"], facts["head"], node.get_content(MetadataMode.NONE))
