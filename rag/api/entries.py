"""Files as they stand in a knowledge base: OpenAI's vector store file object with our own fields, and their passages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query

from praxis.audit import Audit, Line
from rag.api.access import Access
from rag.api.asker import Asking
from rag.library import Library

Row = Mapping[str, Any]


class Entries:
    """Tells entries of stores with what is known of the laws that they hold."""

    def __init__(self, library: Library) -> None:
        self._editions = library.editions

    def told(self, entries: Sequence[Row], tenant: str) -> list[dict[str, Any]]:
        """The vector store file object of each, as `tenant` sees it."""
        stores = {each["store_id"] for each in entries if each["edition"]}
        held = self._editions.by_file(list(stores)) if stores else {}
        return [
            describe(
                each, held.get((each["store_id"], each["file_id"]), []) if each["edition"] else [], tenant
            )
            for each in entries
        ]

    def one(self, entry: Row, tenant: str) -> dict[str, Any]:
        """The vector store file object."""
        return self.told([entry], tenant)[0]


def describe(entry: Row, editions: Sequence[Mapping[str, Any]], tenant: str) -> dict[str, Any]:
    """OpenAI's vector store file object; its id is the file's. `filename`, `bytes`, `own`, `progress`, `editions` and
    `replaces` are ours."""
    error = entry["error_code"] and {"code": entry["error_code"], "message": entry["error_message"]}
    size = {"max_chunk_size_tokens": entry["chunk_size"], "chunk_overlap_tokens": entry["chunk_overlap"]}
    return {
        "id": entry["file_id"],
        "object": "vector_store.file",
        "created_at": entry["created_at"],
        "vector_store_id": entry["store_id"],
        "filename": entry["filename"],
        "bytes": entry["bytes"],
        "own": entry["tenant"] == tenant,
        "status": entry["status"],
        "last_error": error,
        "usage_bytes": entry["usage_bytes"],
        "attributes": entry["attributes"],
        "chunking_strategy": {"type": "static", "static": size},
        "progress": entry["progress"] or {"step": "received"},
        "editions": list(editions),
        "replaces": entry["replaces"],
    }


def routes(library: Library, access: Access, audit: Audit) -> APIRouter:
    """How a file was split; OpenAI has no such thing."""
    router = APIRouter(prefix="/v1/vector_stores")

    @router.get("/{store_id}/files/{file_id}/passages")
    def passages(
        store_id: str,
        file_id: str,
        asker: Asking,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        after: Annotated[int, Query(ge=0)] = 0,
        at: Annotated[int | None, Query(ge=0)] = None,
    ) -> dict[str, Any]:
        access.readable(asker, store_id)
        library.stores.entry(store_id, file_id)
        audit.add(asker.actor, Line("file.read", file_id, store_id))
        if at is not None:
            after = library.before(store_id, file_id, at)
        rows, total = library.split(store_id, file_id, limit, after)
        data = [
            {"object": "vector_store.file.passage", "number": number} | dict(row)
            for number, row in enumerate(rows, after + 1)
        ]
        return {
            "object": "list",
            "data": data,
            "total": total,
            "has_more": after + len(data) < total,
        }

    return router
