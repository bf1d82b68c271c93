"""`/admin/v1/erasures`: all of a tenant or a key is forgotten, on request. Admin keys only."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Literal, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field, model_validator

from gateway.api.bodies import Body
from gateway.api.identity import Operator
from gateway.history.forgetting import Forgetting
from praxis.keys import Keys


class Erase(Body):
    """Of whom: a `tenant`, or a `key` by its name or id."""

    tenant: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    key: Annotated[str, Field(min_length=1, max_length=128)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.tenant is None) == (self.key is None):
            raise ValueError("name a `tenant` or a `key`")
        return self


class Erasure(BaseModel):
    """How much was erased; `items` are questions and answers."""

    object: Literal["erasure"] = "erasure"
    tenant: str | None = None
    key_id: str | None = None
    conversations: int
    items: int
    votes: int
    audit: int


def routes(forgetting: Forgetting, keys: Keys) -> APIRouter:
    """The router."""
    router = APIRouter(prefix="/admin/v1", tags=["admin"])

    @router.post("/erasures")
    async def erase(body: Erase, operator: Operator) -> Erasure:
        """Delete all questions, answers, votes and audit lines of a tenant or a key, at once and for good."""

        def done() -> Erasure:
            key_id = None if body.key is None else str(keys.get(body.key)["id"])
            erased = forgetting.erase(operator.actor, tenant=body.tenant, key_id=key_id)
            return Erasure(tenant=body.tenant, key_id=key_id, **asdict(erased))

        return await asyncio.to_thread(done)

    return router
