"""`/admin/v1/audit`: who did what, by identifiers. Admin keys only."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from gateway.api.identity import Operator
from praxis.audit import Audit, Wanted
from praxis.moments import moment


class AuditLine(BaseModel):
    """One act. `at` is in Unix seconds; `key` is the name of the key `key_id`, null where no key did it."""

    id: int
    at: float
    tenant: str
    key: str | None
    key_id: str
    action: str
    object: str
    part: str | None
    detail: str | None


class AuditLines(BaseModel):
    object: str = "list"
    data: list[AuditLine]
    first_id: int | None
    last_id: int | None
    has_more: bool


def routes(audit: Audit) -> APIRouter:
    """The router."""
    router = APIRouter(prefix="/admin/v1", tags=["admin"])

    @router.get("/audit")
    async def read_audit(
        _: Operator,
        key: Annotated[str | None, Query(description="A key's name or id")] = None,
        tenant: str | None = None,
        action: Annotated[
            str | None, Query(description="Such as file.delete, or file.* for all of them")
        ] = None,
        object_: Annotated[
            str | None, Query(alias="object", description="An id, as the act's object or its part")
        ] = None,
        since: Annotated[
            str | None, Query(description="Unix seconds, a day, or a length of time ago")
        ] = None,
        until: Annotated[str | None, Query(description="The same; left out, up to now")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: Annotated[
            int | None, Query(ge=0, le=2**63 - 1, description="The last id of the page before")
        ] = None,
    ) -> AuditLines:
        """Who added, read, asked, changed and deleted what, the latest first."""
        now = time.time()
        wanted = Wanted(
            key,
            tenant,
            action,
            object_,
            moment(since, "since", now),
            moment(until, "until", now),
        )
        rows, more = await asyncio.to_thread(audit.read, wanted, limit, after)
        lines = [AuditLine.model_validate(row) for row in rows]
        first, last = (lines[0].id, lines[-1].id) if lines else (None, None)
        return AuditLines(data=lines, first_id=first, last_id=last, has_more=more)

    return router
