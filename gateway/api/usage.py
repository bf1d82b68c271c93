"""`/admin/v1/usage`: what keys used. Admin keys only."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from gateway.api.identity import Operator
from praxis.moments import moment
from praxis.usage import Usage


class UsageRow(BaseModel):
    """What was used; of the first six only those that were asked for `by`."""

    hour: str | None = None
    day: str | None = None
    key: str | None = None
    key_id: str | None = None
    tenant: str | None = None
    model: str | None = None
    adapter: str | None = None
    requests: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class UsageList(BaseModel):
    object: Literal["list"] = "list"
    data: list[UsageRow]


def routes(usage: Usage) -> APIRouter:
    """The router."""
    router = APIRouter(prefix="/admin/v1", tags=["admin"])

    @router.get("/usage", response_model_exclude_none=True)
    async def read_usage(
        _: Operator,
        by: Annotated[
            str, Query(description="hour, day, key, tenant, model, adapter, with commas")
        ] = "key,model",
        since: Annotated[str, Query(description="Unix seconds, a day, or a length of time ago")] = "30d",
        until: Annotated[str | None, Query(description="The same; left out, up to now")] = None,
        key: Annotated[str | None, Query(description="A key's name or id")] = None,
        tenant: str | None = None,
        model: str | None = None,
        adapter: str | None = None,
    ) -> UsageList:
        """Requests, errors and tokens, told by what `by` names. The last two seconds may be missing."""
        now = time.time()
        asked: dict[str, Any] = {
            "since": moment(since, "since", now),
            "until": moment(until, "until", now),
            "key": key,
            "tenant": tenant,
            "model": model,
            "adapter": adapter,
        }
        dimensions = [each.strip() for each in by.split(",") if each.strip()]
        rows = await asyncio.to_thread(lambda: usage.read(dimensions, **asked))
        return UsageList(data=[UsageRow.model_validate(each) for each in rows])

    return router
