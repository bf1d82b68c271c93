"""`/v1/vector_stores/{id}/tuning`: what a knowledge base learned from questions whose answers are known."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from rag.api.access import Access
from rag.api.asker import Asking
from rag.api.bodies import Body, integer
from rag.stores import refuse_expired
from rag.tuning import Tunings, read

_LARGEST_SEED = 2**31 - 1


def routes(tunings: Tunings, access: Access) -> APIRouter:
    """Begin, look at and forget a tuning; for the store's own tenant only."""
    router = APIRouter(prefix="/v1/vector_stores")

    @router.post("/{store_id}/tuning")
    def begin(store_id: str, asker: Asking, body: Body) -> dict[str, Any]:
        refuse_expired(access.owned(asker, store_id))
        seed = integer(body, "seed", 0, 0, _LARGEST_SEED)
        tunings.start(store_id, read(body.get("questions")), seed, asker.actor)
        return tunings.describe(store_id)

    @router.get("/{store_id}/tuning")
    def look(store_id: str, asker: Asking) -> dict[str, Any]:
        access.owned(asker, store_id)
        return tunings.describe(store_id)

    @router.delete("/{store_id}/tuning")
    def forget(store_id: str, asker: Asking) -> dict[str, Any]:
        access.owned(asker, store_id)
        tunings.remove(store_id, asker.actor)
        return tunings.describe(store_id)

    return router
