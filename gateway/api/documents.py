"""`/v1/files` and `/v1/vector_stores`: passed on to the document process, with who asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from gateway.api.identity import Asker
from gateway.documents import Documents
from gateway.proxy.head import Headers
from praxis.errors import Overloaded, UpstreamTimeout

_PASSED_UP = frozenset({b"content-type", b"content-length", b"accept", b"transfer-encoding"})
_PASSED_DOWN = frozenset(
    {
        "content-type",
        "content-length",
        "content-disposition",
        "content-security-policy",
        "cache-control",
        "openai-poll-after-ms",
        "referrer-policy",
        "retry-after",
        "x-content-type-options",
        "x-frame-options",
        "x-praxis-marked",
        "x-praxis-marked-top",
        "x-praxis-pages",
        "x-praxis-passage-pages",
        "x-should-retry",
    }
)
_TIMEOUT = httpx.Timeout(connect=5, read=120, write=120, pool=5)


def routes(documents: Documents, client: httpx.AsyncClient) -> APIRouter:
    """The router. `client` is httpx: these calls are few and long, unlike the hot path's."""
    router = APIRouter(prefix="/v1", tags=["documents"])

    async def forward(request: Request, who: Headers) -> StreamingResponse:
        """Pass one request on, streaming both ways: an upload is never held here."""
        if documents.secret is None:
            raise Overloaded(
                "Documents are off: set `rag.secret_env`'s variable for gateway and rag, and start rag."
            )
        headers = [(name, value) for name, value in request.headers.raw if name in _PASSED_UP] + who
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        outgoing = client.build_request(
            request.method,
            httpx.URL(documents.url + request.url.path, query=request.url.query.encode()),
            headers=headers,
            content=_body(request) if has_body else None,
            timeout=_TIMEOUT,
        )
        try:
            reply = await client.send(outgoing, stream=True)
        except httpx.TimeoutException:
            raise UpstreamTimeout("The document process did not answer in time; ask again.") from None
        except httpx.TransportError as error:
            raise Overloaded(
                f"The document process cannot be reached ({type(error).__name__}); start it with `praxis rag`.",
                retry_after=2,
            ) from error
        kept = {name: value for name, value in reply.headers.items() if name in _PASSED_DOWN}
        return StreamingResponse(_chunks(reply), status_code=reply.status_code, headers=kept)

    async def passage(request: Request) -> StreamingResponse:
        """A cited passage as a page for people. The link is signed, so that it needs no key."""
        return await forward(request, [])

    async def owned(request: Request, asker: Asker) -> StreamingResponse:
        """Anything else of the Files and Vector Stores API, on behalf of the key's tenant."""
        return await forward(request, documents.headers(asker))

    router.add_api_route("/files/{file_id}/passage", passage, methods=["GET"])
    every: Any = ["GET", "POST", "PUT", "DELETE"]
    for path in ("/files", "/files/{rest:path}", "/vector_stores", "/vector_stores/{rest:path}"):
        router.add_api_route(path, owned, methods=every, include_in_schema=False)
    return router


async def _body(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        # The document process must see a cut body, not a short one that looks whole.
        raise httpx.WriteError("the client left") from error


async def _chunks(reply: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in reply.aiter_raw():
            yield chunk
    finally:
        await reply.aclose()
