"""`/v1/vector_stores/{id}/shares`: with whom a knowledge base is shared, to read or to write. OpenAI has no such thing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from praxis.errors import InvalidRequest
from rag.api.access import Access
from rag.api.asker import Asking
from rag.api.bodies import Body, text
from rag.shares import Grantee, Shares

_LONGEST = 128


def describe(share: Mapping[str, Any]) -> dict[str, Any]:
    """A share: with which `tenant` or `key`, for what `right`, since when and by which key."""
    return {
        "object": "vector_store.share",
        "vector_store_id": share["store_id"],
        "tenant": share["grantee"] if share["kind"] == "tenant" else None,
        "key": share["grantee"] if share["kind"] == "key" else None,
        "right": share["may"],
        "created_at": share["created_at"],
        "granted_by": share["granted_by"],
    }


def routes(shares: Shares, access: Access) -> APIRouter:
    """List, grant and withdraw; for the store's own tenant and for admins."""
    router = APIRouter(prefix="/v1/vector_stores")

    @router.get("/{store_id}/shares")
    def list_shares(store_id: str, asker: Asking) -> dict[str, Any]:
        access.shareable(asker, store_id)
        return {"object": "list", "data": [describe(each) for each in shares.of(store_id)], "has_more": False}

    @router.put("/{store_id}/shares")
    def share(store_id: str, asker: Asking, body: Body) -> dict[str, Any]:
        store = access.shareable(asker, store_id)
        grantee = _grantee(text(body, "tenant", _LONGEST), text(body, "key", _LONGEST))
        right = body.get("right", "read")
        if right not in ("read", "write"):
            raise InvalidRequest("`right` must be `read` or `write`.", param="right")
        if grantee == Grantee("tenant", store["tenant"]):
            raise InvalidRequest(f"`{store_id}` is the tenant's own; name another.", param="tenant")
        return describe(shares.grant(store_id, grantee, right, asker.actor))

    @router.delete("/{store_id}/shares")
    def withdraw(
        store_id: str, asker: Asking, tenant: str | None = None, key: str | None = None
    ) -> dict[str, Any]:
        access.shareable(asker, store_id)
        grantee = _grantee(tenant, key)
        shares.withdraw(store_id, grantee, asker.actor)
        return {
            "object": "vector_store.share.deleted",
            "vector_store_id": store_id,
            grantee.kind: grantee.name,
            "deleted": True,
        }

    return router


def _grantee(tenant: str | None, key: str | None) -> Grantee:
    if bool(tenant) == bool(key):
        raise InvalidRequest("Name with whom: a `tenant`, or a `key` by its id (`key_…`).", param="tenant")
    return Grantee("tenant", tenant) if tenant else Grantee("key", key or "")
