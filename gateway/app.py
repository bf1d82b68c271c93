"""The gateway's wiring: every object is made here, once, and handed to those that need it."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from fastapi import APIRouter, FastAPI
from sqlalchemy import Engine
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route
from starlette.types import Lifespan

from gateway.access import Access
from gateway.adapters.changes import Changes
from gateway.adapters.desired import DesiredAdapters
from gateway.adapters.engine import Engines
from gateway.adapters.fleet import Fleet
from gateway.adapters.lease import Lease
from gateway.adapters.peers import Peers
from gateway.adapters.reconcile import Adapters
from gateway.adapters.scores import Scores
from gateway.adapters.tally import Tally
from gateway.adapters.traffic import Traffic
from gateway.agreement import Agreement, Announcements
from gateway.api import adapters as adapters_api
from gateway.api import admin, documents, health, lora, models, responses
from gateway.api import audit as audit_api
from gateway.api import conversations as conversations_api
from gateway.api import erasures as erasures_api
from gateway.api import keys as keys_api
from gateway.api import usage as usage_api
from gateway.api import votes as votes_api
from gateway.api.inference import PATHS, Inference, RequestIds
from gateway.documents import Documents
from gateway.exposure import must_be_safe
from gateway.history.conversations import Conversations
from gateway.history.forgetting import Forgetting
from gateway.history.votes import Votes
from gateway.limits import Limits
from gateway.metrics import Metrics
from gateway.place import Place
from gateway.proxy.asgi import Message, Receive, Scope, Send
from gateway.proxy.head import Head
from gateway.proxy.record import Observer, Observers, Record
from gateway.proxy.sweep import Sweep
from gateway.proxy.writes import Writes
from gateway.readiness import Readiness
from gateway.request_log import RequestLog
from gateway.routing.probes import Probes
from gateway.routing.table import Registry
from gateway.siblings import Siblings
from gateway.usage import Meter
from praxis import http_errors
from praxis.audit import Audit
from praxis.background import running
from praxis.config import REDIS_PASSWORD, Config
from praxis.configuration import Configuration
from praxis.keys import Keys
from praxis.section import read_secret
from praxis.state import connect
from praxis.usage import Usage

if TYPE_CHECKING:
    from gateway.traces import Traces

logger = logging.getLogger("praxis.gateway")

EXPOSED = [
    "retry-after",
    "x-praxis-backend",
    "x-praxis-model",
    "x-praxis-revision",
    "x-request-id",
    *(
        f"x-ratelimit-{what}-{of}"
        for what in ("limit", "remaining", "reset")
        for of in ("requests", "tokens")
    ),
]
"""Response headers that a page of another origin may read."""

Application = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Gateway:
    """A wired gateway: the ASGI `application`, and what its process needs to run and to drain it."""

    application: Application
    inference: Inference
    configuration: Configuration
    readiness: Readiness
    sweep: Sweep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.application(scope, receive, send)


def create_app(config: Path, host: str, place: Place | None = None) -> Gateway:
    """Wire a gateway for the file `config`, to listen on `host`; call it inside the event loop that will serve it.

    `place` says which of several workers it is.

    Raises ConfigError when the file cannot be used.
    """
    loop = asyncio.get_running_loop()
    configuration = Configuration(config, lambda loaded: must_be_safe(loaded, host))
    current = configuration.current
    engine = connect(current.state)
    keys, usage = Keys(engine), Usage(engine)
    client = httpx.AsyncClient(trust_env=False, follow_redirects=False)
    registry = Registry(loop, place)
    registry.apply(current, [])
    rag = Documents(current, client, loop)
    access = Access(keys, required=current.server.auth == "keys", rag_secret=rag.secret)

    process = "gateway" if place is None else place.process
    limits = _limits(current, place)
    meter = Meter(usage)
    metrics = Metrics(lambda: registry.table)
    request_log = RequestLog(loop, process, sys.stderr.fileno())
    traces = _traces(process)
    traffic = Traffic()
    others: list[Observer] = [meter, metrics, request_log, traffic, *([] if traces is None else [traces])]
    observers = Observers(loop, limits, others)

    def exposition() -> bytes:
        """The metrics, with every request that has ended."""
        observers.tell()
        return metrics.render()

    adapters, probes = _adapters(registry, engine, client, configuration, traffic, process)
    readiness = Readiness(configuration, registry, rag)
    agreement = Agreement(Announcements(engine), configuration, adapters)
    siblings = Siblings(place, exposition)
    sweep = Sweep(loop, registry.tick)
    inference = Inference(
        loop=loop,
        access=access,
        table=lambda: registry.table,
        documents=rag,
        readiness=readiness,
        sweep=sweep,
        writes=Writes(loop),
        observer=observers,
        ids=RequestIds(),
        tracing=traces,
        limits=limits,
        traffic=traffic,
        warm=adapters.warm,
    )

    async def follow() -> None:
        """Bring everything in step with a changed configuration."""
        changed = configuration.current
        rag.apply(changed)
        access.configure(required=changed.server.auth == "keys", rag_secret=rag.secret)
        await adapters.refresh()

    forgetting = Forgetting(engine, lambda: configuration.current.retention)
    configuration.on_change(follow)
    configuration.on_change(forgetting.changed)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(request_log.close)
            if traces is not None:
                stack.push_async_callback(traces.close)
            stack.push_async_callback(client.aclose)
            stack.callback(engine.dispose)
            stack.push_async_callback(meter.aclose)
            stack.push_async_callback(adapters.aclose)
            stack.push_async_callback(limits.aclose)
            stack.callback(observers.tell)
            await access.refresh()
            await adapters.refresh()
            async with running(
                access=access.run,
                configuration=configuration.run,
                agreement=agreement.run,
                probes=probes.run,
                rag=rag.run,
                siblings=siblings.run,
                limits=limits.run,
                meter=meter.run,
                forgetting=forgetting.run,
            ):
                yield

    changes = Changes(adapters, Scores(engine))
    surface = _surface(
        lifespan,
        access,
        inference,
        health.routes(readiness, siblings.metrics),
        models.routes(lambda: registry.table, int(time.time())),
        documents.routes(rag, client),
        conversations_api.routes(Conversations(engine)),
        votes_api.routes(Votes(engine)),
        responses.routes(),
        admin.routes(configuration, agreement, registry, readiness, rag),
        adapters_api.routes(changes),
        lora.routes(changes, lambda: configuration.current),
        keys_api.routes(keys, access),
        usage_api.routes(usage),
        audit_api.routes(Audit(engine)),
        erasures_api.routes(forgetting, keys),
    )
    application = _cross_origin(_dispatch(inference, surface, request_log), current)
    return Gateway(application, inference, configuration, readiness, sweep)


def _adapters(
    registry: Registry,
    engine: Engine,
    client: httpx.AsyncClient,
    configuration: Configuration,
    traffic: Traffic,
    process: str,
) -> tuple[Adapters, Probes]:
    """The adapters, and the probes that tell them what replicas hold."""
    identity = f"{process}-{secrets.token_hex(8)}"
    peers = Peers(engine, identity)
    probes = Probes(registry, client, lambda backend, replica: adapters.learned(backend, replica))
    adapters = Adapters(
        registry,
        DesiredAdapters(engine),
        lambda: configuration.current,
        fleet=Fleet(Engines(client), probes, traffic, peers),
        traffic=traffic,
        lease=Lease(engine, "adapters", identity),
        peers=peers,
        tally=Tally(engine),
        round_of_probes=probes.round,
    )
    return adapters, probes


def _surface(
    lifespan: Lifespan[FastAPI], access: Access, inference: Inference, *routers: APIRouter
) -> FastAPI:
    """All that FastAPI serves."""
    surface = FastAPI(title="Praxis", version="1", lifespan=lifespan, redoc_url=None)
    surface.state.access = access
    http_errors.install(surface)
    for router in routers:
        surface.include_router(router)
    for path in PATHS:
        # `_dispatch` takes every POST before it comes here; this answers the other methods with 405.
        surface.router.routes.append(Route(path, inference, methods=["POST"]))
    return surface


def _limits(config: Config, place: Place | None) -> Limits:
    """The limits of keys: counted in Redis where the configuration names one, else by each process for itself."""
    if config.server.limits is None:
        return Limits(beside=0 if place is None else place.count - 1)
    # Its client takes memory that most gateways have no use for.
    from gateway.shared_limits import SharedLimits

    return SharedLimits(config.server.limits, password=read_secret(REDIS_PASSWORD))


def _traces(process: str) -> Traces | None:
    """The traces, where OpenTelemetry's standard variables say that there is somebody to take them."""
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    off = (
        os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    )
    if off or not any(os.environ.get(each) for each in endpoints):
        return None
    # Importing it takes a seventh of a second and some megabytes.
    from gateway.traces import Traces

    return Traces(process)


def _cross_origin(application: Application, config: Config) -> Application:
    """Let pages of the configured origins in."""
    if not config.server.cors_origins:
        return application
    return CORSMiddleware(
        application,
        allow_origins=config.server.cors_origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=EXPOSED,
    )


def _dispatch(inference: Inference, surface: FastAPI, request_log: RequestLog) -> Application:
    """Hot paths straight to `inference`, everything else to FastAPI's `surface`, marked with the request's id and
    logged."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await surface(scope, receive, send)
        elif scope["method"] == "POST" and scope["path"] in PATHS:
            await inference(scope, receive, send)
        else:
            record = inference.record(Head(scope["path"], scope["headers"]))
            identity = record.request_id.encode()

            async def marked(message: Message) -> None:
                if message["type"] == "http.response.start":
                    record.outcome = str(message["status"])
                    message["headers"] = [*message.get("headers", []), (b"x-request-id", identity)]
                await send(message)

            try:
                await surface(scope, receive, marked)
            finally:
                if scope["path"] not in health.PATHS:
                    _log(record, scope, request_log)

    return application


def _log(record: Record, scope: Scope, request_log: RequestLog) -> None:
    """Log a request that FastAPI answered: the route that it took, as the path holds what its client made up."""
    record.path = getattr(scope.get("route"), "path", "")
    record.principal = scope.get("principal")
    record.outcome = record.outcome or "cancelled"
    record.ended = time.monotonic()
    request_log.ended(record, scope["method"])
