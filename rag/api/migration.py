"""`/v1/vector_stores/{id}/migration`: where a knowledge base's vectors are, and having them moved elsewhere."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from praxis.errors import InvalidRequest, NotPermitted
from rag.api.access import Access
from rag.api.asker import Asker, Asking
from rag.api.bodies import Body, text
from rag.migration import Migrations
from rag.stores import Stores


def routes(migrations: Migrations, stores: Stores, access: Access) -> APIRouter:
    """Begin and look at a move; for the store's own tenant and for admins. `migrations` is of the whole library."""
    router = APIRouter(prefix="/v1/vector_stores")

    def listed() -> dict[str, Any]:
        return {"object": "list", "data": migrations.describe_all()}

    @router.post("/migrations")
    def begin_all(asker: Asking, body: Body) -> dict[str, Any]:
        _only_admins(asker)
        migrations.start_all(_target(body), asker.actor)
        return listed()

    @router.get("/migrations")
    def look_at_all(asker: Asking) -> dict[str, Any]:
        _only_admins(asker)
        return listed()

    @router.post("/{store_id}/migration")
    def begin(store_id: str, asker: Asking, body: Body) -> dict[str, Any]:
        access.shareable(asker, store_id)
        migrations.start(store_id, _target(body), asker.actor)
        return migrations.describe(stores.get(store_id))

    @router.get("/{store_id}/migration")
    def look(store_id: str, asker: Asking) -> dict[str, Any]:
        return migrations.describe(access.shareable(asker, store_id))

    return router


def _target(body: dict[str, Any]) -> str:
    target = text(body, "to", 32)
    if target is None:
        raise InvalidRequest("Say where to with `to`, such as `faiss`.", param="to")
    return target


def _only_admins(asker: Asker) -> None:
    if not asker.admin:
        raise NotPermitted("Only an admin's key may move all knowledge bases; name one of yours instead.")
