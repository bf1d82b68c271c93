"""Request bodies: bounded, of known fields only, and of text that can be written down."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Self

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticSerializationError
from starlette.types import Message

from praxis.errors import TooLarge

MOST_BYTES = 1 << 20
"""Bytes of a request's body."""


class Bounded(APIRoute):
    """A route that reads at most `most` bytes of a body before it answers 413, whatever length was announced."""

    most = MOST_BYTES

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            body = bytearray()
            async for chunk in request.stream():
                body += chunk
                if len(body) > self.most:
                    raise TooLarge(f"The request's body exceeds {self.most} bytes; send less at a time.")

            async def read() -> Message:
                return {"type": "http.request", "body": bytes(body), "more_body": False}

            return await handle(Request(request.scope, read))

        return bounded


class Body(BaseModel):
    """A body, or a part of one."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="after")
    def _writable(self) -> Self:
        """JSON can spell half a character (`\\ud800`), which no database and no reply can hold."""
        try:
            self.model_dump_json()
        except PydanticSerializationError:
            raise ValueError("a text holds half of a surrogate pair; send whole characters") from None
        return self
