"""`/admin/v1`: adapters, backends, keys and reload. Admin keys only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from gateway.access import Access
from gateway.adapters.reconcile import Adapters
from gateway.api.identity import Operator
from gateway.routing.table import Registry
from praxis.configuration import Configuration
from praxis.errors import ConfigError, InvalidRequest
from praxis.keys import Keys


class LoadAdapter(BaseModel):
    """`source` is a PEFT folder that gateway and engines both see, below one of `server.adapter_roots`."""

    model_config = ConfigDict(extra="forbid")

    name: str
    base: str
    source: str


class CreateKey(BaseModel):
    """A new key; fields left out mean no limit. `expires_at` is in Unix seconds."""

    model_config = ConfigDict(extra="forbid")

    name: str
    admin: bool = False
    tenant: str | None = None
    models: list[str] | None = None
    knowledge: list[str] | None = None
    expires_at: float | None = None


def routes(
    configuration: Configuration, registry: Registry, adapters: Adapters, keys: Keys, access: Access
) -> APIRouter:
    """The router."""
    router = APIRouter(prefix="/admin/v1", tags=["admin"])

    @router.get("/adapters")
    async def list_adapters(_: Operator) -> dict[str, Any]:
        """Every adapter, with where it is loaded."""
        return {"object": "list", "data": adapters.list()}

    @router.post("/adapters")
    async def load_adapter(body: LoadAdapter, operator: Operator) -> dict[str, object]:
        """Load an adapter into every replica of its base's backend, or replace the one of that name."""
        return await adapters.load(body.name, body.base, body.source, operator.name)

    @router.delete("/adapters/{name}")
    async def unload_adapter(name: str, operator: Operator) -> dict[str, object]:
        """Take an adapter out of every replica."""
        await adapters.unload(name, operator.name)
        return {"name": name, "unloaded": True}

    @router.get("/backends")
    async def list_backends(_: Operator) -> dict[str, Any]:
        """Every backend with its replicas: health, load and what each serves."""
        return {"object": "list", "data": [_backend(each) for each in registry.table.backends.values()]}

    @router.post("/reload")
    async def reload(_: Operator) -> dict[str, Any]:
        """Read models.yaml again; a wrong one is refused whole and what runs stays."""
        try:
            await configuration.reload()
        except ConfigError as error:
            raise InvalidRequest(error.message, code="config_refused") from None
        return {"generation": configuration.generation}

    @router.get("/keys")
    async def list_keys(_: Operator) -> dict[str, Any]:
        """Every key, without anything that could be used as one."""
        listed: Sequence[Mapping[str, Any]] = await asyncio.to_thread(keys.list)
        return {"object": "list", "data": listed}

    @router.post("/keys")
    async def create_key(body: CreateKey, _: Operator) -> dict[str, Any]:
        """Make a key. `secret` is in this answer and nowhere else."""
        limits = body.model_dump(exclude={"name"})
        principal, secret = await asyncio.to_thread(lambda: keys.create(body.name, **limits))
        return {"id": principal.key_id, "name": principal.name, "tenant": principal.tenant, "secret": secret}

    @router.delete("/keys/{name}")
    async def revoke_key(name: str, _: Operator) -> dict[str, Any]:
        """Revoke a key by name or id; this gateway refuses it from now on, others within two seconds."""
        key_id = await asyncio.to_thread(keys.revoke, name)
        await access.refresh()
        return {"id": key_id, "revoked": True}

    return router


def _backend(backend: Any) -> dict[str, Any]:
    return {
        "name": backend.name,
        "kind": backend.dialect.kind,
        "up": backend.up,
        "replicas": [
            {
                "url": replica.url,
                "reachable": replica.reachable,
                "ejected": replica.ejected,
                "in_flight": replica.in_flight,
                "models": sorted(replica.models),
            }
            for replica in backend.replicas
        ],
    }
