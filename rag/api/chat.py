"""POST /v1/chat/completions for assistants and the `file_search` tool: find, ask the model, annotate, answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import anyio
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from praxis.config import Config
from praxis.errors import InvalidRequest, UpstreamError
from rag.answer import grounding, reply
from rag.answer.citations import Annotator, Reading, Untouched
from rag.answer.context import PASSAGE_TOKENS, Context, distinct, pack, question_in
from rag.answer.prompts import WORDING, Language, language_of
from rag.api.asker import OPERATOR, asker_of
from rag.generation import Generation, Refused, Reply
from rag.index.filters import Filter, parse
from rag.passages import Hit, Passage

ASSUMED_WINDOW = 4_096  # tokens, where the gateway does not list a model's own
_ASKER_HEADERS = (
    "x-praxis-tenant",
    "x-praxis-key",
    "x-praxis-asked",
    "x-request-id",
    "traceparent",
    "tracestate",
)
_TIGHTER = 3  # times that a prompt refused as too long is packed smaller and sent again

T = TypeVar("T")
Permit = Callable[[Request, Sequence[str]], Awaitable[None]]
"""Raises NotFound unless the asker may search all of these stores."""


class Library(Protocol):
    """What answering needs of the documents (rag/library.py)."""

    async def search(
        self, store_ids: Sequence[str], query: str, *, limit: int, filters: Filter | None = None
    ) -> list[Hit]: ...

    async def stores_named(self, tenant: str, names: Sequence[str]) -> list[str]: ...

    async def similarity(self, sentences: Sequence[str], passages: Sequence[str]) -> list[list[float]]: ...

    async def article(self, store_ids: Sequence[str], law: str | None, article: str) -> Passage | None: ...


class Links(Protocol):
    """Signed links to passages (rag/links.py)."""

    def passage(self, file_id: str, start: int, end: int, tenant: str) -> str: ...


def routes(
    library: Library,
    config_source: Callable[[], Config],
    generation: Generation,
    links: Links,
    permit: Permit,
) -> APIRouter:
    """The route, wired to one process's parts. A request keeps the configuration that it began with."""
    router = APIRouter()

    @router.post("/v1/chat/completions", summary="Answer from documents, with citations")
    async def chat(request: Request) -> Response:
        asker = asker_of(request)
        asked = grounding.read(await _json(request), config_source().assistants)
        answering = Answering(library, generation, links, asked, request.headers, asker.tenant)
        if asked.search:
            await permit(request, asked.search.store_ids)
        try:
            return await _while_connected(request, answering.respond())
        except Refused as refusal:
            return Response(
                refusal.content, refusal.status, headers=refusal.headers, media_type="application/json"
            )

    return router


@dataclass(frozen=True, slots=True)
class Answering:
    """One question on its way from retrieval to its response."""

    library: Library
    generation: Generation
    links: Links
    asked: grounding.Request
    headers: Headers
    tenant: str

    async def respond(self) -> Response:
        """The response; nothing is sent before the model's first event. Raises Refused and PraxisErrors."""
        question = question_in(self.asked.messages)
        assistant = self.asked.assistant
        language: Language = language_of(question)
        if assistant and assistant.language != "auto":
            language = assistant.language
        stores = await self._stores()
        found, hits = await self._search(stores, question)
        if not hits:
            return self._nothing(WORDING[language].irrelevant if found else WORDING[language].empty)
        context, opened = await self._generate(hits, language)
        reading = self._reading(context.hits, question, language, stores)
        if isinstance(opened, dict):
            return JSONResponse(await reply.annotate(opened, self.asked.name, reading))
        return await _stream(opened, self.asked, reading)

    async def _stores(self) -> list[str]:
        assistant, search = self.asked.assistant, self.asked.search
        own = await self.library.stores_named(OPERATOR, assistant.knowledge) if assistant else []
        return list(dict.fromkeys([*own, *(search.store_ids if search else ())]))

    async def _search(self, stores: Sequence[str], question: str) -> tuple[bool, list[Hit]]:
        """Whether anything was found at all, and what of it is relevant enough, best first."""
        assistant, search = self.asked.assistant, self.asked.search
        filters = parse(search.filters, "tools.filters") if search and search.filters else None
        if not stores:
            return False, []
        limit = search.limit if search else assistant.top_k if assistant else 0
        least = max(search.min_score if search else 0.0, assistant.min_score if assistant else 0.0)
        hits = await self.library.search(stores, question, limit=2 * limit, filters=filters)
        return bool(hits), [hit for hit in distinct(hits)[:limit] if hit.score >= least]

    async def _generate(
        self, hits: Sequence[Hit], language: Language
    ) -> tuple[Context, dict[str, Any] | Reply]:
        """Ask the model, with a smaller prompt each time that it refuses one as too long for its window.

        Token counts are estimates, for only the engine knows its tokenizer.
        """
        asked, assistant = self.asked, self.asked.assistant
        asker = {name: value for name in _ASKER_HEADERS if (value := self.headers.get(name))}
        model = assistant.model if assistant else asked.name
        window = await self.generation.window(model) or ASSUMED_WINDOW
        start = self.generation.open if asked.stream else self.generation.complete
        for attempt in range(_TIGHTER + 1):
            context = pack(
                asked.messages,
                hits,
                language=language,
                window=int(window * (2 / 3) ** attempt),
                answer_tokens=asked.answer_tokens,
                prompt=assistant.prompt if assistant else None,
                passage_tokens=PASSAGE_TOKENS >> attempt,
            )
            try:
                return context, await start(asked.for_model(context.messages), asker)
            except Refused as refusal:
                if not refusal.too_long or attempt == _TIGHTER:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _reading(
        self, hits: Sequence[Hit], question: str, language: Language, stores: Sequence[str]
    ) -> Reading:
        if self.asked.structured:
            return Untouched(hits, language)
        return Annotator(
            hits=hits,
            question=question,
            language=language,
            similarity=self.library.similarity,
            find_article=lambda law, article: self.library.article(stores, law, article),
            link=lambda passage: self.links.passage(passage.file_id, passage.start, passage.end, self.tenant),
        )

    def _nothing(self, text: str) -> Response:
        asked = self.asked
        if not asked.stream:
            return JSONResponse(reply.said(text, asked.name, refusal=asked.structured))
        return _events(reply.said_stream(text, asked.name, refusal=asked.structured, usage=asked.usage))


async def _json(request: Request) -> Any:
    try:
        return await request.json()
    except ValueError as error:
        raise InvalidRequest("The body is not JSON.") from error


async def _stream(opened: Reply, asked: grounding.Request, reading: Reading) -> Response:
    """The response to a stream whose first event has come; before it, a failure still has a status of its own."""
    events = opened.events()
    async with AsyncExitStack() as undo:
        undo.push_async_callback(opened.aclose)
        first = await anext(events, None)
        if first is None:
            raise UpstreamError("The model ended its stream before the first event. Ask again.")
        undo.pop_all()  # From here on the response closes it.

    async def all_events() -> AsyncIterator[bytes]:
        yield first
        async for payload in events:
            yield payload

    return _Stream(opened, reply.annotate_stream(all_events(), asked.name, reading, usage=asked.usage))


def _events(content: AsyncIterator[bytes]) -> StreamingResponse:
    return StreamingResponse(content, media_type="text/event-stream", headers={"cache-control": "no-store"})


class _Stream(StreamingResponse):
    """A streaming response that closes the model's stream whichever way it ends, even before its first byte."""

    def __init__(self, opened: Reply, content: AsyncIterator[bytes]) -> None:
        super().__init__(content, media_type="text/event-stream", headers={"cache-control": "no-store"})
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await self._opened.aclose()


async def _while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T | Response:
    """The result of `work`, which is cancelled at once when the client goes away."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        return Response(status_code=499)  # nobody reads it
    finally:
        for each in (task, gone):
            each.cancel()
        # Both are waited for, so that nothing of this request outlives it; their outcome has been told above.
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
