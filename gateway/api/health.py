"""`/healthz`, `/readyz` and `/metrics`: open, for probes and Prometheus."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from gateway.readiness import Readiness

PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


def routes(readiness: Readiness, metrics: Callable[[], Awaitable[bytes]]) -> APIRouter:
    """The router."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Liveness: the process answers."""
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        """Readiness, what is waited for, what is degraded, and why a changed configuration was refused."""
        status, body = readiness.report()
        return JSONResponse(body, status_code=status)

    @router.get("/metrics")
    async def metrics_() -> Response:
        """Prometheus' text format."""
        return Response(await metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router
