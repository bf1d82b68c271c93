"""Who asks, for FastAPI's routes: `Asker` for any key, `Operator` for admin keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from gateway.access import Access
from praxis.errors import NotPermitted
from praxis.keys import Principal


async def _asker(request: Request) -> Principal:
    access: Access = request.app.state.access
    principal = await access.principal(request.headers.raw)
    request.scope["principal"] = principal  # for the request log
    return principal


async def _operator(principal: Annotated[Principal, Depends(_asker)]) -> Principal:
    if not principal.admin:
        raise NotPermitted("This needs an admin key; `praxis keys create NAME --admin` makes one.")
    return principal


Asker = Annotated[Principal, Depends(_asker)]
Operator = Annotated[Principal, Depends(_operator)]
