"""One question on its way from retrieval to its response, in whichever form it is to be answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import anyio
from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from praxis.audit import Actor, Line
from praxis.errors import NotFound, UpstreamError
from rag.answer import grounding
from rag.answer.citations import Annotator, Evidence, Reading, Untouched
from rag.answer.context import PASSAGE_TOKENS, Context, distinct, estimate_tokens, pack, question_in
from rag.answer.followup import follow_up
from rag.answer.form import Form, Search
from rag.answer.neighbours import Articles, neighbours
from rag.answer.prompts import WORDING, Language, language_of
from rag.answer.reply import annotated, annotated_stream, said, said_stream
from rag.api.asker import OPERATOR, Asker, asker_of
from rag.generation import Generation, Refused, Reply
from rag.index.filters import Filter, parse
from rag.passages import FACTS, Hit, shown

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


class Library(Articles, Protocol):
    """What answering needs of the documents (rag/library.py)."""

    async def search(
        self, store_ids: Sequence[str], query: str, *, limit: int, filters: Filter | None = None
    ) -> list[Hit]: ...

    async def stores_named(self, tenant: str, names: Sequence[str]) -> list[str]: ...

    async def similarity(self, sentences: Sequence[str], passages: Sequence[str]) -> list[list[float]]: ...

    def attributes(self, hits: Sequence[Hit]) -> list[dict[str, Any]]: ...


class Links(Protocol):
    """Signed links to passages (rag/links.py)."""

    def passage(self, file_id: str, start: int, end: int, tenant: str, key: str) -> str: ...


class Permits(Protocol):
    """Who may search what (rag/api/access.py)."""

    @property
    def withdrawn(self) -> int:
        """How many shares ended since the process began."""

    async def permit(self, request: Request, store_ids: Sequence[str]) -> None:
        """Raises NotFound unless whoever sent `request` may search all of these stores."""


class Trail(Protocol):
    """Where it is written who asked what (praxis/audit.py)."""

    def add(self, actor: Actor, *lines: Line) -> None: ...


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers from `library` by the models behind `generation`."""

    library: Library
    generation: Generation
    links: Links
    permits: Permits
    audit: Trail

    async def respond(self, request: Request, asked: grounding.Request, form: Form) -> Response:
        """The response to `asked`, which came in `request`. Raises PraxisErrors."""
        asker = asker_of(request)
        leave = Leave(self.permits, request, asked, self.library)
        await leave.ask()
        answering = _Answering(
            self.library, self.generation, self.links, self.audit, asked, form, request.headers, asker, leave
        )
        try:
            return await _while_connected(request, answering.respond())
        except Refused as refusal:
            return Response(
                refusal.content, refusal.status, headers=refusal.headers, media_type="application/json"
            )


class Leave:
    """Whether a question may still be answered from what it began with: a share that ends while it runs ends it, too.

    Checking costs nothing as long as no share ends anywhere.
    """

    def __init__(
        self, permits: Permits, request: Request, asked: grounding.Request, library: Library
    ) -> None:
        self._permits = permits
        self._request = request
        self._asked = asked
        self._library = library
        self._seen = permits.withdrawn
        self._stores: frozenset[str] = frozenset()

    async def ask(self) -> None:
        """Raises NotFound or NotPermitted unless the asker may search what the request names."""
        if self._asked.search:
            await self._permits.permit(self._request, self._asked.search.store_ids)

    async def stores(self) -> list[str]:
        """The stores to answer from: the assistant's, and those that the request names."""
        found = await self._found()
        self._stores = frozenset(found)
        return found

    async def check(self) -> None:
        """Raises as `ask` does, and NotFound where the assistant's knowledge is no longer shared with it."""
        withdrawn = self._permits.withdrawn
        if withdrawn == self._seen:
            return
        await self.ask()
        if not self._stores.issubset(await self._found()):
            raise NotFound(f"What `{self._asked.name}` answered from is no longer shared; ask again.")
        self._seen = withdrawn

    async def _found(self) -> list[str]:
        assistant, search = self._asked.assistant, self._asked.search
        own = await self._library.stores_named(OPERATOR, assistant.knowledge) if assistant else []
        return list(dict.fromkeys([*own, *(search.store_ids if search else ())]))


@dataclass(frozen=True, slots=True)
class _Answering:
    """One question on its way from retrieval to its response."""

    library: Library
    generation: Generation
    links: Links
    audit: Trail
    asked: grounding.Request
    form: Form
    headers: Headers
    asker: Asker
    leave: Leave

    async def respond(self) -> Response:
        """The response; nothing is sent before the model's first event. Raises Refused and PraxisErrors."""
        question = question_in(self.asked.messages)
        assistant = self.asked.assistant
        language: Language = language_of(question)
        if assistant and assistant.language != "auto":
            language = assistant.language
        filters = self._filters()
        stores = await self.leave.stores()
        query = await self._query(question, language) if stores else question
        found, hits = await self._search(stores, query, filters)
        if not hits:
            await self._note(stores, [])
            words = WORDING[language].irrelevant if found else WORDING[language].empty
            return self._nothing(words, Search(query))
        beside = await self._beside(hits, stores, filters)
        await self.leave.check()
        await self._note(stores, [*hits, *beside])
        context, opened = await self._generate(distinct([*hits, *beside]), language)
        reading = self._reading(context.hits, question, language, stores)
        async with AsyncExitStack() as undo:
            if isinstance(opened, Reply):
                undo.push_async_callback(opened.aclose)
            search = await self._shown(query, context.hits, {each.passage.id for each in hits})
            await self.leave.check()
            undo.pop_all()  # From here on what answers closes it.
        if isinstance(opened, dict):
            completion, evidence = await annotated(opened, reading)
            await self.leave.check()
            return JSONResponse(self.form.whole(completion, evidence, search))
        return await self._stream(opened, reading, search)

    async def _note(self, stores: Sequence[str], hits: Sequence[Hit]) -> None:
        """Write down who asks which stores, and which of their files the model is shown, before it is."""
        lines = shown("knowledge.ask", stores, hits, self.asked.name)
        await asyncio.to_thread(self.audit.add, self.asker.actor, *lines)

    async def _query(self, question: str, language: Language) -> str:
        """What to search for: the question itself, or where it goes on from earlier ones what it means."""
        following = follow_up(self.asked.messages, question, language) if self.asked.rewrite else None
        if following is None:
            return question

        async def ask(body: Mapping[str, Any]) -> dict[str, Any]:
            return await self.generation.complete({"model": self.asked.model, **body}, self._said_by)

        return await following.query(ask, self.asked.body)

    @property
    def _said_by(self) -> dict[str, str]:
        """The headers that say who asks."""
        return {name: value for name in _ASKER_HEADERS if (value := self.headers.get(name))}

    async def _search(
        self, stores: Sequence[str], query: str, filters: Filter | None
    ) -> tuple[bool, list[Hit]]:
        """Whether anything was found at all, and what of it is relevant enough, best first."""
        assistant, search = self.asked.assistant, self.asked.search
        if not stores:
            return False, []
        limit = search.limit if search else assistant.top_k if assistant else 0
        least = max(search.min_score if search else 0.0, assistant.min_score if assistant else 0.0)
        hits = await self.library.search(stores, query, limit=2 * limit, filters=filters)
        return bool(hits), [hit for hit in distinct(hits)[:limit] if hit.score >= least]

    def _filters(self) -> Filter | None:
        search = self.asked.search
        return parse(search.filters, "tools.filters") if search and search.filters else None

    async def _beside(self, hits: Sequence[Hit], stores: Sequence[str], filters: Filter | None) -> list[Hit]:
        """The neighbours of the best hits, as far as the request's filters leave them in."""
        if filters is not None and filters.keys & set(FACTS):
            return []
        return await neighbours(hits, self.library, stores if filters is None else ())

    async def _generate(
        self, hits: Sequence[Hit], language: Language
    ) -> tuple[Context, dict[str, Any] | Reply]:
        """Ask the model, with a smaller prompt each time that it refuses one as too long for its window.

        Tokens are estimated, and a model that hardly knows the script makes more of it.
        """
        asked, assistant = self.asked, self.asked.assistant
        window = await self.generation.window(asked.model) or ASSUMED_WINDOW
        window -= estimate_tokens(json.dumps(asked.tools)) if asked.tools else 0
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
                return context, await start(asked.for_model(context.messages), self._said_by)
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
            link=lambda passage: self.links.passage(
                passage.file_id, passage.start, passage.end, self.asker.tenant, self.asker.key
            ),
        )

    async def _shown(self, query: str, shown: Sequence[Hit], found: Collection[int]) -> Search:
        """What was searched for, with the passages shown where the form lists them; neighbours were not `found`."""
        if not self.form.lists_passages:
            return Search(query)
        hits = [each for each in shown if each.passage.id in found]
        return Search(query, hits, await asyncio.to_thread(self.library.attributes, hits))

    def _nothing(self, text: str, search: Search) -> Response:
        asked, form = self.asked, self.form
        if not asked.stream:
            return JSONResponse(form.whole(said(text, refusal=asked.structured), Evidence(), search))
        return _events(form.stream(said_stream(text, refusal=asked.structured), search))

    async def _stream(self, opened: Reply, reading: Reading, search: Search) -> Response:
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
                await self.leave.check()
                yield payload

        return _Stream(opened, self.form.stream(annotated_stream(all_events(), reading), search))


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
