"""`/v1/files`: OpenAI's Files API, and the page that shows people a passage."""

from __future__ import annotations

import html
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, HTMLResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Receive, Scope, Send

from praxis.audit import Actor, Audit, Line
from praxis.errors import InvalidRequest, NotFound, NotPermitted, TooLarge
from rag.api.access import Access
from rag.api.asker import Asking
from rag.files import MAX_BYTES, File
from rag.library import Library
from rag.links import Links
from rag.pages import Order, Page, listing

_PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
_BATCH_LIFETIME = 30 * 86_400
_PART = 1 << 20
_AROUND = 1500
"""Characters of text shown before and after a passage."""


def describe(file: File) -> dict[str, Any]:
    """OpenAI's file object."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created_at,
        "expires_at": file.expires_at,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def routes(library: Library, links: Links, access: Access, audit: Audit) -> APIRouter:
    """The routes; `links` checks those to passages, and `access` whether who asked may still read them."""
    router = APIRouter()
    files = library.files

    @router.post("/v1/files")
    async def create(request: Request, asker: Asking) -> dict[str, Any]:
        upload, purpose, lifetime = await _form(request)
        try:
            stored = await files.store(asker.actor, upload.filename, purpose, _parts(upload), lifetime)
        finally:
            await upload.close()
        return describe(stored)

    @router.get("/v1/files")
    def list_files(
        asker: Asking,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
        order: Order = "desc",
        after: str | None = None,
        purpose: str | None = None,
    ) -> dict[str, Any]:
        rows, more = files.list(asker.tenant, Page(limit, order, after), purpose)
        return listing([describe(each) for each in rows], more)

    @router.get("/v1/files/{file_id}")
    def retrieve(file_id: str, asker: Asking) -> dict[str, Any]:
        described = describe(files.get(asker.tenant, file_id))
        return described | {"vector_store_ids": list(files.standing(file_id))}

    @router.delete("/v1/files/{file_id}")
    def delete(file_id: str, asker: Asking) -> dict[str, Any]:
        files.delete(asker.actor, file_id)
        return {"id": file_id, "object": "file", "deleted": True}

    @router.get("/v1/files/{file_id}/content")
    def content(file_id: str, asker: Asking) -> FileResponse:
        file = files.get(asker.tenant, file_id)
        # Whatever was uploaded is handed back as a download, never as a page that a browser would run.
        disposition = f"attachment; filename*=UTF-8''{quote(file.filename)}"
        headers = {"content-disposition": disposition, "x-content-type-options": "nosniff"}
        with ExitStack() as held:
            path = held.enter_context(files.at_hand(file_id))
            audit.add(asker.actor, Line("file.read", file_id))
            return _Download(path, held.pop_all(), headers)

    @router.get("/v1/files/{file_id}/passage", response_class=HTMLResponse)
    async def passage(
        file_id: str, start: int, end: int, tenant: str, expires: int, signature: str, key: str = ""
    ) -> HTMLResponse:
        if not links.opens(
            tenant=tenant,
            key=key,
            file_id=file_id,
            start=start,
            end=end,
            expires=expires,
            signature=signature,
        ):
            raise NotPermitted("This link has expired or was altered; ask again to get a fresh one.")
        if not await run_in_threadpool(access.opens, tenant, key, file_id):
            raise _gone()
        await run_in_threadpool(audit.add, Actor(tenant, key), Line("file.read", file_id))
        return await run_in_threadpool(_page, library, file_id, start, end)

    return router


class _Download(FileResponse):
    """Hands `path` out, and lets go of it by `held` when it was, or when whoever asked is gone."""

    def __init__(self, path: Path, held: ExitStack, headers: Mapping[str, str]) -> None:
        super().__init__(path, media_type="application/octet-stream", headers=headers)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await super().__call__(scope, receive, send)


async def _form(request: Request) -> tuple[UploadFile, str, int | None]:
    """The parts of an upload: the file, its purpose, seconds until it expires. Raises InvalidRequest, TooLarge."""
    if int(request.headers.get("content-length") or 0) > MAX_BYTES + _PART:
        raise TooLarge(f"A file may have at most {MAX_BYTES >> 20} MB; split it.", param="file")
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise InvalidRequest(
            "Send the file as `multipart/form-data` with `file` and `purpose`.", param="file"
        )
    try:
        form = await _Parser(request.headers, _bounded(request), max_files=1, max_fields=16).parse()
    except MultiPartException as error:
        raise InvalidRequest(f"The form cannot be read: {error.message}.", param="file") from None
    upload, purpose = form.get("file"), form.get("purpose")
    if not isinstance(upload, UploadFile):
        raise InvalidRequest("`file` is missing: send the file as a part of that name.", param="file")
    if purpose not in _PURPOSES:
        raise InvalidRequest(f"`purpose` must be one of {', '.join(_PURPOSES)}.", param="purpose")
    return upload, str(purpose), _lifetime(form, str(purpose))


class _Parser(MultiPartParser):
    """Keeps an upload in memory up to a megabyte and on disk beyond."""

    spool_max_size = _PART


async def _bounded(request: Request) -> AsyncGenerator[bytes, None]:
    """The body, cut off where it grows beyond what any file may have."""
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BYTES + _PART:
            raise TooLarge(f"A file may have at most {MAX_BYTES >> 20} MB; split it.", param="file")
        yield part


async def _parts(upload: UploadFile) -> AsyncIterator[bytes]:
    while part := await upload.read(_PART):
        yield part


def _lifetime(form: Mapping[str, Any], purpose: str) -> int | None:
    anchor, seconds = form.get("expires_after[anchor]"), form.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return _BATCH_LIFETIME if purpose == "batch" else None
    if anchor != "created_at" or not str(seconds).isdecimal() or not 3600 <= int(str(seconds)) <= 2_592_000:
        raise InvalidRequest(
            "`expires_after` needs the anchor `created_at` and from 3600 to 2592000 seconds.",
            param="expires_after",
        )
    return int(str(seconds))


def _page(library: Library, file_id: str, start: int, end: int) -> HTMLResponse:
    document = library.files.document(file_id)
    title = library.describe(file_id, start, end)
    if document is None or title is None or not 0 <= start <= end <= len(document.text):
        raise _gone()
    text = document.text
    left = text.rfind("\n", 0, max(0, start - _AROUND)) + 1
    right = text.find("\n", min(len(text), end + _AROUND))
    shown = {
        "before": text[left:start],
        "quote": text[start:end],
        "after": text[end : right if right >= 0 else len(text)],
        **title,
    }
    return HTMLResponse(
        _TEMPLATE.format_map({key: html.escape(value) for key, value in shown.items()}), headers=_HEADERS
    )


def _gone() -> NotFound:
    return NotFound("The passage is gone: its file was deleted or replaced, or is no longer shared with you.")


_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors *",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "private, no-store",
}

_TEMPLATE = """<!doctype html>
<html lang="zh-CN">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{heading}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 44rem; line-height: 1.9;
  font-family: "Noto Serif CJK SC", "Source Han Serif SC", "Songti SC", Georgia, serif; }}
header {{ border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); margin-bottom: 1.5rem; }}
h1 {{ font-size: 1.35rem; margin: 0; }}
p {{ margin: .25rem 0 1rem; opacity: .7; font-size: .95rem; }}
main {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
main span {{ opacity: .6; }}
mark {{ background: #fff1b8; color: #1f1f1f; padding: .1em 0; }}
</style>
</head>
<body>
<header><h1>{heading}</h1><p>{details}</p></header>
<main><span>{before}</span><mark>{quote}</mark><span>{after}</span></main>
</body>
</html>
"""
