"""`/v1/files/{file_id}/pages/{page}`: a page of a PDF as a picture, a cited passage marked on it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from starlette.concurrency import run_in_threadpool

from praxis.audit import Audit, Line
from praxis.errors import InvalidRequest
from rag.api.access import Access
from rag.api.asker import Asking
from rag.pictures import Asked, Pictures

_HEADERS = {"cache-control": "private, no-store", "x-content-type-options": "nosniff"}


def routes(pictures: Pictures, access: Access, audit: Audit) -> APIRouter:
    """The route; `access` decides whose files one may look at, `audit` keeps who did."""
    router = APIRouter()

    @router.get("/v1/files/{file_id}/pages/{page}")
    async def page(
        file_id: str,
        page: int,
        asker: Asking,
        start: Annotated[int, Query(ge=0)] = 0,
        end: Annotated[int, Query(ge=0)] = 0,
        width: Annotated[int, Query(ge=200, le=2400)] = 1200,
    ) -> Response:
        if end < start:
            raise InvalidRequest("`end` must not be before `start`.", param="end")
        file = await run_in_threadpool(access.file, asker, file_id)
        drawn = await pictures.draw(file, Asked(page, width, start, end))
        # It may have been deleted, or its share taken back, while it was drawn.
        await run_in_threadpool(access.file, asker, file_id)
        await run_in_threadpool(audit.add, asker.actor, Line("file.read", file_id))
        headers = _HEADERS | {"x-praxis-pages": str(drawn.pages), "x-praxis-marked": drawn.marked}
        if drawn.top is not None:
            headers["x-praxis-marked-top"] = str(drawn.top)
        if drawn.passage:
            headers["x-praxis-passage-pages"] = "{}-{}".format(*drawn.passage)
        return Response(drawn.png, media_type="image/png", headers=headers)

    return router
