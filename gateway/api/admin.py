"""`/admin/v1`: backends and reload; adapters and keys are in modules of their own. Admin keys only."""

from __future__ import annotations

from math import inf
from typing import Any

from fastapi import APIRouter

from gateway.agreement import Agreement
from gateway.api.identity import Operator
from gateway.documents import Documents
from gateway.readiness import Readiness
from gateway.routing.backend import Backend
from gateway.routing.replica import Replica
from gateway.routing.table import Registry
from praxis.configuration import Configuration
from praxis.errors import ConfigError, InvalidRequest


def routes(
    configuration: Configuration,
    agreement: Agreement,
    registry: Registry,
    readiness: Readiness,
    documents: Documents,
) -> APIRouter:
    """The router."""
    router = APIRouter(prefix="/admin/v1", tags=["admin"])

    @router.get("/backends")
    async def list_backends(_: Operator) -> dict[str, Any]:
        """Every backend with its replicas: health, load and what each serves."""
        return {"object": "list", "data": [_backend(each) for each in registry.table.backends.values()]}

    @router.get("/status")
    async def status(_: Operator) -> dict[str, Any]:
        """All that `praxis status` shows of this gateway."""
        return {
            "gateway": readiness.report()[1],
            "backends": [_backend(each) for each in registry.table.backends.values()],
            "rag": documents.describe(),
        }

    @router.post("/reload")
    async def reload(_: Operator) -> dict[str, Any]:
        """Read models.yaml again; a wrong one is refused whole and what runs stays."""
        try:
            await agreement.reload()
        except ConfigError as error:
            raise InvalidRequest(error.message, code="config_refused") from None
        return {"generation": configuration.generation}

    return router


def _backend(backend: Backend) -> dict[str, Any]:
    return {
        "name": backend.name,
        "kind": backend.dialect.kind,
        "up": backend.up,
        "queued": len(backend.queue),
        "replicas": [_replica(backend, replica) for replica in backend.replicas],
    }


def _replica(backend: Backend, replica: Replica) -> dict[str, Any]:
    load = replica.engine_load
    return {
        "url": replica.url,
        "weight": replica.weight,
        "reachable": replica.reachable,
        "ejected": backend.ejected(replica),
        "trouble": replica.trouble,
        "breaker": replica.breaker.state.value,
        "in_flight": replica.in_flight,
        "max_in_flight": None if replica.limit == inf else replica.limit,
        "engine": None if load is None else {"running": load.running, "waiting": load.waiting},
        "models": sorted(replica.models),
    }
