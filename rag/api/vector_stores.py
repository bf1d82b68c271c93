"""`/v1/vector_stores`: OpenAI's Vector Stores API, by which knowledge bases are made, filled and searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from starlette.concurrency import run_in_threadpool

from praxis.audit import Audit, Line
from praxis.errors import InvalidRequest
from rag.api.access import Access
from rag.api.asker import Asking
from rag.api.bodies import Body, integer, pairs, text
from rag.api.entries import Entries
from rag.index import filters
from rag.library import Library
from rag.pages import Order, Page, listing
from rag.passages import shown
from rag.stores import STATUSES, Attachment, expires_at, refuse_expired

Status = Literal["in_progress", "completed", "failed", "cancelled"]
Limit = Annotated[int, Query(ge=1, le=100)]

_POLL = {"openai-poll-after-ms": "500"}
_CHUNK = (800, 0)
_LONGEST_QUERY = 8_192


def describe(store: Mapping[str, Any], counts: Mapping[str, int]) -> dict[str, Any]:
    """OpenAI's vector store object; `shared` is ours: of another tenant's store whose it is and what one may do."""
    end, days = expires_at(store), store["expires_days"]
    try:
        refuse_expired(store)
        status = "in_progress" if counts["in_progress"] else "completed"
    except InvalidRequest:
        status = "expired"
    return {
        "id": store["id"],
        "object": "vector_store",
        "created_at": store["created_at"],
        "name": store["name"],
        "description": store["description"],
        "usage_bytes": counts["usage"],
        "file_counts": _file_counts(counts),
        "status": status,
        "expires_after": None if days is None else {"anchor": "last_active_at", "days": days},
        "expires_at": end,
        "last_active_at": store["last_active_at"],
        "metadata": store["metadata"],
        "shared": {"tenant": store["tenant"], "right": store["shared"]} if store.get("shared") else None,
    }


def describe_batch(batch: Mapping[str, Any], counts: Mapping[str, int]) -> dict[str, Any]:
    """OpenAI's file batch object."""
    if batch["cancelled"]:
        status = "cancelled"
    elif counts["in_progress"]:
        status = "in_progress"
    else:
        status = "failed" if counts["total"] and counts["failed"] == counts["total"] else "completed"
    return {
        "id": batch["id"],
        "object": "vector_store.file_batch",
        "created_at": batch["created_at"],
        "vector_store_id": batch["store_id"],
        "status": status,
        "file_counts": _file_counts(counts),
    }


def _file_counts(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: counts[name] for name in (*STATUSES, "total")}


def routes(library: Library, access: Access, audit: Audit) -> APIRouter:
    """The stores' own routes, their files', their batches', and search."""
    router = APIRouter(prefix="/v1/vector_stores")
    _add_stores(router, library, access)
    _add_files(router, library, access, audit)
    _add_batches(router, library, access)
    _add_search(router, library, access, audit)
    return router


def _add_stores(router: APIRouter, library: Library, access: Access) -> None:
    stores = library.stores

    def told(store: Mapping[str, Any]) -> dict[str, Any]:
        return describe(store, stores.counts([store["id"]])[store["id"]])

    @router.post("")
    def create(asker: Asking, body: Body) -> dict[str, Any]:
        name = text(body, "name", 512) or ""
        if asker.knowledge is not None and name not in asker.knowledge:
            asker.check("", name)
        store = stores.create(
            asker.actor,
            name=name,
            description=text(body, "description", 4096),
            metadata=pairs(body, "metadata", strings_only=True),
            expires_days=_expiry(body),
            attachments=_attachments(body, _ids(body, "file_ids", 500)),
        )
        return told(store)

    @router.get("")
    def list_stores(
        asker: Asking,
        limit: Limit = 20,
        order: Order = "desc",
        after: str | None = None,
        before: str | None = None,
    ) -> dict[str, Any]:
        held = access.all(asker)
        rows, more = stores.list(asker.tenant, held.keys(), Page(limit, order, after, before))
        counts = stores.counts([each["id"] for each in rows])
        usable = [each for row in rows if (each := access.listed(asker, row, held.get(row["id"])))]
        return listing([describe(each, counts[each["id"]]) for each in usable], more)

    @router.get("/{store_id}")
    def retrieve(store_id: str, asker: Asking) -> dict[str, Any]:
        return told(access.readable(asker, store_id))

    @router.post("/{store_id}")
    def update(store_id: str, asker: Asking, body: Body) -> dict[str, Any]:
        access.owned(asker, store_id)
        values: dict[str, Any] = {}
        if "name" in body:
            values["name"] = text(body, "name", 512)
        if "description" in body:
            values["description"] = text(body, "description", 4096)
        if "metadata" in body:
            values["metadata"] = pairs(body, "metadata", strings_only=True)
        if "expires_after" in body:
            values["expires_days"] = _expiry(body)
        return told(stores.update(store_id, values, asker.actor))

    @router.delete("/{store_id}")
    def delete(store_id: str, asker: Asking) -> dict[str, Any]:
        access.owned(asker, store_id)
        stores.delete(store_id, asker.actor)
        return {"id": store_id, "object": "vector_store.deleted", "deleted": True}

    @router.post("/{store_id}/rebuild")
    def rebuild(store_id: str, asker: Asking) -> dict[str, Any]:
        access.owned(asker, store_id)
        stores.rebuild(store_id, asker.actor)
        return told(stores.get(store_id))


def _add_files(router: APIRouter, library: Library, access: Access, audit: Audit) -> None:
    stores, entries = library.stores, Entries(library)

    @router.post("/{store_id}/files")
    def attach(store_id: str, asker: Asking, body: Body, response: Response) -> dict[str, Any]:
        refuse_expired(access.writable(asker, store_id))
        response.headers.update(_POLL)
        return entries.one(stores.attach(asker.actor, store_id, _attachment(body, body)), asker.tenant)

    @router.get("/{store_id}/files")
    def list_files(
        store_id: str,
        asker: Asking,
        limit: Limit = 20,
        order: Order = "desc",
        after: str | None = None,
        before: str | None = None,
        filter: Status | None = None,  # noqa: A002 - OpenAI's name for it
    ) -> dict[str, Any]:
        access.readable(asker, store_id)
        rows, more = stores.entries(store_id, Page(limit, order, after, before), filter)
        return listing(entries.told(rows, asker.tenant), more)

    @router.get("/{store_id}/files/{file_id}")
    def retrieve(store_id: str, file_id: str, asker: Asking, response: Response) -> dict[str, Any]:
        access.readable(asker, store_id)
        response.headers.update(_POLL)
        return entries.one(stores.entry(store_id, file_id), asker.tenant)

    @router.post("/{store_id}/files/{file_id}")
    def update(store_id: str, file_id: str, asker: Asking, body: Body) -> dict[str, Any]:
        access.writable(asker, store_id)
        stores.entry(store_id, file_id)
        attributes = pairs(body, "attributes", strings_only=False)
        return entries.one(stores.describe(store_id, file_id, attributes, asker.actor), asker.tenant)

    @router.delete("/{store_id}/files/{file_id}")
    def detach(store_id: str, file_id: str, asker: Asking) -> dict[str, Any]:
        access.writable(asker, store_id)
        stores.detach(store_id, file_id, asker.actor)
        return {"id": file_id, "object": "vector_store.file.deleted", "deleted": True}

    @router.get("/{store_id}/files/{file_id}/content")
    def content(store_id: str, file_id: str, asker: Asking) -> dict[str, Any]:
        access.readable(asker, store_id)
        stores.entry(store_id, file_id)
        audit.add(asker.actor, Line("file.read", file_id, store_id))
        document = library.files.document(file_id)
        data = [{"type": "text", "text": document.text}] if document else []
        return {
            "object": "vector_store.file_content.page",
            "data": data,
            "has_more": False,
            "next_page": None,
        }


def _add_batches(router: APIRouter, library: Library, access: Access) -> None:
    stores, entries = library.stores, Entries(library)

    def told(batch: Mapping[str, Any]) -> dict[str, Any]:
        return describe_batch(batch, stores.batch_counts(batch["id"]))

    @router.post("/{store_id}/file_batches")
    def create(store_id: str, asker: Asking, body: Body, response: Response) -> dict[str, Any]:
        refuse_expired(access.writable(asker, store_id))
        response.headers.update(_POLL)
        return told(stores.attach_batch(asker.actor, store_id, _batch(body)))

    @router.get("/{store_id}/file_batches/{batch_id}")
    def retrieve(store_id: str, batch_id: str, asker: Asking, response: Response) -> dict[str, Any]:
        access.readable(asker, store_id)
        response.headers.update(_POLL)
        return told(stores.batch(store_id, batch_id))

    @router.post("/{store_id}/file_batches/{batch_id}/cancel")
    def cancel(store_id: str, batch_id: str, asker: Asking) -> dict[str, Any]:
        access.writable(asker, store_id)
        return told(stores.cancel(store_id, batch_id, asker.actor))

    @router.get("/{store_id}/file_batches/{batch_id}/files")
    def list_files(
        store_id: str,
        batch_id: str,
        asker: Asking,
        limit: Limit = 20,
        order: Order = "desc",
        after: str | None = None,
        before: str | None = None,
        filter: Status | None = None,  # noqa: A002 - OpenAI's name for it
    ) -> dict[str, Any]:
        access.readable(asker, store_id)
        stores.batch(store_id, batch_id)
        rows, more = stores.entries(store_id, Page(limit, order, after, before), filter, batch_id)
        return listing(entries.told(rows, asker.tenant), more)


def _add_search(router: APIRouter, library: Library, access: Access, audit: Audit) -> None:
    @router.post("/{store_id}/search")
    async def search(store_id: str, asker: Asking, body: Body) -> dict[str, Any]:
        before = access.withdrawn
        refuse_expired(await run_in_threadpool(access.searchable, asker, store_id))
        queries = _queries(body)
        limit = integer(body, "max_num_results", 10, 1, 50)
        wanted = filters.parse(body["filters"]) if "filters" in body else None
        least = _threshold(body)
        best: dict[int, Any] = {}
        for query in queries:
            for hit in await library.search([store_id], query, limit=limit, filters=wanted):
                known = best.get(hit.passage.id)
                if hit.score >= least and (known is None or known.score < hit.score):
                    best[hit.passage.id] = hit
        hits = sorted(best.values(), key=lambda each: -each.score)[:limit]
        attributes = await run_in_threadpool(library.attributes, hits)
        await run_in_threadpool(library.stores.touch, [store_id])
        if access.withdrawn != before:
            await run_in_threadpool(access.searchable, asker, store_id)
        await run_in_threadpool(audit.add, asker.actor, *shown("knowledge.search", [store_id], hits))
        data = [
            {
                "file_id": hit.passage.file_id,
                "filename": hit.passage.filename,
                "score": round(hit.score, 6),
                "attributes": own,
                "content": [{"type": "text", "text": hit.passage.text}],
            }
            for hit, own in zip(hits, attributes, strict=True)
        ]
        return {
            "object": "vector_store.search_results.page",
            "search_query": queries,
            "data": data,
            "has_more": False,
            "next_page": None,
        }


def _queries(body: Mapping[str, Any]) -> list[str]:
    value = body.get("query")
    queries = [value] if isinstance(value, str) else value
    if not isinstance(queries, list) or not queries or not all(isinstance(each, str) for each in queries):
        raise InvalidRequest("`query` must be a string or a list of strings.", param="query")
    if not all(each.strip() for each in queries):
        raise InvalidRequest("`query` is empty; write what to search for.", param="query")
    if len(queries) > 16 or any(len(each) > _LONGEST_QUERY for each in queries):
        raise InvalidRequest(f"`query` may hold 16 questions of {_LONGEST_QUERY} characters.", param="query")
    return queries


def _threshold(body: Mapping[str, Any]) -> float:
    options = body.get("ranking_options", {})
    value = options.get("score_threshold") if isinstance(options, dict) else "?"
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InvalidRequest(
            "`ranking_options.score_threshold` must be a number from 0 to 1.", param="ranking_options"
        )
    return float(value)


def _expiry(body: Mapping[str, Any]) -> int | None:
    policy = body.get("expires_after")
    if policy is None:
        return None
    days = policy.get("days") if isinstance(policy, dict) else None
    if days is None or policy.get("anchor") != "last_active_at":
        raise InvalidRequest(
            "`expires_after` needs the anchor `last_active_at` and `days`.", param="expires_after"
        )
    return integer(policy, "days", 0, 1, 365)


def _ids(body: Mapping[str, Any], name: str, most: int) -> list[str]:
    value = body.get(name, [])
    if not isinstance(value, list) or len(value) > most or not all(isinstance(each, str) for each in value):
        raise InvalidRequest(f"`{name}` must be a list of at most {most} file ids.", param=name)
    return list(dict.fromkeys(value))


def _attachments(body: Mapping[str, Any], file_ids: Sequence[str]) -> list[Attachment]:
    return [_attachment({"file_id": each}, body) for each in file_ids]


def _attachment(item: Mapping[str, Any], body: Mapping[str, Any]) -> Attachment:
    file_id = item.get("file_id")
    if not isinstance(file_id, str) or not file_id:
        raise InvalidRequest("`file_id` is missing: upload the file first and give its id.", param="file_id")
    size, overlap = _chunking(body)
    attributes = pairs(dict(body), "attributes", strings_only=False)
    return Attachment(file_id, attributes, size, overlap, text(dict(item), "replaces", 64))


def _chunking(body: Mapping[str, Any]) -> tuple[int, int]:
    """Largest chunk and overlap in tokens. Left to Praxis, chunks end where articles, sections and sentences do, are
    whole by themselves and share nothing."""
    strategy = body.get("chunking_strategy")
    if strategy is None:
        return _CHUNK
    kind = strategy.get("type") if isinstance(strategy, dict) else None
    if kind == "auto":
        return _CHUNK
    static = strategy.get("static") if kind == "static" else None
    if not isinstance(static, dict):
        raise InvalidRequest(
            "`chunking_strategy.type` must be `auto`, or `static` with a `static` object.",
            param="chunking_strategy",
        )
    size = integer(static, "max_chunk_size_tokens", 0, 100, 4096)
    return size, integer(static, "chunk_overlap_tokens", -1, 0, size // 2)


def _batch(body: Mapping[str, Any]) -> list[Attachment]:
    items = body.get("files")
    if items is not None:
        if not isinstance(items, list) or not 1 <= len(items) <= 2000:
            raise InvalidRequest("`files` must be a list of 1 to 2000 objects.", param="files")
        if not all(isinstance(each, dict) for each in items):
            raise InvalidRequest("Each of `files` must be an object with a `file_id`.", param="files")
        cleaned = [{key: value for key, value in each.items() if value is not None} for each in items]
        return list({each.get("file_id"): _attachment(each, each) for each in cleaned}.values())
    file_ids = _ids(body, "file_ids", 2000)
    if not file_ids:
        raise InvalidRequest("Give `file_ids` or `files`, with at least one file.", param="file_ids")
    return _attachments(body, file_ids)
