"""`/v1/models`: base models, aliases, adapters, assistants and the embedding model that this key may use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter

from gateway.api.identity import Asker
from gateway.routing.table import Route, Table
from praxis.errors import ModelNotFound

_OWNERS = {"assistant": "praxis-assistant", "embedding": "praxis-embedding"}


def routes(table: Callable[[], Table], started: int) -> APIRouter:
    """The router; `started` (Unix seconds) is what every card gives as `created`."""
    router = APIRouter(prefix="/v1/models", tags=["models"])

    def card(route: Route, name: str = "") -> dict[str, Any]:
        """A model's card. `parent` is an adapter's base; no path of a file system is ever in it."""
        return {
            "id": name or route.name,
            "object": "model",
            "created": started,
            "owned_by": _OWNERS.get(route.kind, "praxis"),
            "parent": route.base if route.kind in ("adapter", "revision") else None,
            "kind": route.kind,
            "base": route.base,
            "max_model_len": _context(table(), route),
            "images": _images(table(), route),
        }

    @router.get("")
    async def list_models(asker: Asker) -> dict[str, Any]:
        """Every model that the key may use."""
        return {"object": "list", "data": [card(each) for each in table().visible(asker)]}

    @router.get("/{name:path}")
    async def retrieve_model(name: str, asker: Asker) -> dict[str, Any]:
        """One model by its name, which may hold slashes."""
        now = table()
        route = now.routes.get(name)
        if route is None or not now.permits(route, asker):
            raise ModelNotFound(name, (each.name for each in now.visible(asker)))
        return card(route, name)

    return router


def _base(table: Table, route: Route) -> Route:
    """Where an adapter's and an assistant's answers come from; a model itself."""
    return table.routes.get(route.base or route.name, route)


def _images(table: Table, route: Route) -> int:
    """How many pictures a request may hold; 0 where the model sees none."""
    return next((target.images for target in _base(table, route).targets), 0)


def _context(table: Table, route: Route) -> int | None:
    """The context length in tokens, as an engine told it: an adapter's and an assistant's is its base's."""
    for target in _base(table, route).targets:
        for replica in target.backend.replicas:
            if length := replica.models.get(target.upstream):
                return length
    return None
