"""`/v1/responses/{id}`: no response is kept, and whoever asks for one is told what to do instead."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from gateway.api.identity import Asker
from praxis.errors import NotFound


def routes() -> APIRouter:
    """The router; making a response is on the hot path."""
    router = APIRouter(prefix="/v1/responses", tags=["responses"])

    async def kept(asker: Asker) -> None:
        """Nothing: a response is whole when it is made, and is the client's to keep."""
        raise NotFound(
            "No response is kept here: keep what `POST /v1/responses` returned, and send the conversation so far in `input`.",
            param="response_id",
        )

    every: Any = ["GET", "POST", "DELETE"]
    router.add_api_route("/{rest:path}", kept, methods=every, include_in_schema=False)
    return router
