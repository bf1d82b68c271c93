"""What the gateway asks of this process itself: whether it is ready, and what its embedding model is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response
from starlette.concurrency import run_in_threadpool

from praxis.config import Config
from rag.api.asker import OPERATOR
from rag.library import Library


def routes(library: Library, config: Callable[[], Config]) -> APIRouter:
    """`/internal/models` behind the secret, `/healthz` and `/readyz` open."""
    router = APIRouter()

    @router.get("/internal/models")
    def models() -> dict[str, Any]:
        return {"embedding": {"id": library.embedder.name, "dimensions": library.embedder.dimensions}}

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz(response: Response) -> dict[str, Any]:
        """200 once the indexes are in memory; per assistant, null or why it cannot answer from documents yet."""
        if not library.loaded.is_set():
            response.status_code = 503
            return {"status": "loading", "reason": "the indexes are being loaded", "assistants": {}}
        return {"status": "ready", "assistants": await run_in_threadpool(_assistants, library, config())}

    return router


def _assistants(library: Library, config: Config) -> dict[str, str | None]:
    return {name: _reason(library, each.knowledge) for name, each in config.assistants.items()}


def _reason(library: Library, knowledge: list[str]) -> str | None:
    for name in knowledge:
        found = library.stores.named(OPERATOR, [name])
        if not found:
            return f"there is no knowledge base `{name}`; make it with `praxis knowledge create {name}`"
        counts = library.stores.counts(found)[found[0]]
        if counts["in_progress"] and not counts["completed"]:
            return f"the knowledge base `{name}` is being filled"
    return None
