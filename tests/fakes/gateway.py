"""A gateway of straw: a real HTTP server that speaks the gateway's API from memory.

What a model says is scripted by `Reply`; what a file becomes is scripted by its first bytes (see `Tenant.attach`).
Conversations and votes are kept by the gateway's own code, in a database of the fake's.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from html import escape
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from gateway.api import conversations as conversations_api
from gateway.api import votes as votes_api
from gateway.api.identity import Operator
from gateway.history.conversations import Conversations
from gateway.history.tables import conversations as kept
from gateway.history.tables import images
from gateway.history.votes import Votes
from praxis import http_errors
from praxis.errors import NotAuthenticated
from praxis.keys import Principal
from praxis.state import connect, writing
from tests.processes import free_port

Json = dict[str, Any]

ARTICLE = (
    "第四十四条　有下列情形之一的，用人单位应当按照下列标准支付高于劳动者正常工作时间工资的工资报酬：\n"
    "（一）安排劳动者延长工作时间的，支付不低于工资的百分之一百五十的工资报酬；\n"
    "（二）休息日安排劳动者工作又不能安排补休的，支付不低于工资的百分之二百的工资报酬；\n"
    "（三）法定休假日安排劳动者工作的，支付不低于工资的百分之三百的工资报酬。"
)
QUOTE = "安排劳动者延长工作时间的，支付不低于工资的百分之一百五十的工资报酬"

UNCLEAR = "不明".encode("big5")
"""How a text begins whose encoding is not clear."""

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""The smallest picture there is (PNG)."""


@dataclass
class Reply:
    """What a model streams: first `thinking`, then `pieces`, then citations.

    `status` refuses before the stream; `break_after` breaks it off after so many pieces; `gate` is awaited after the
    first piece (an event that a test sets, or that another stream sets when it reaches its own gate).
    """

    pieces: Sequence[str] = ("好的。",)
    thinking: Sequence[str] = ()
    citations: Sequence[Json] = ()
    unverified: Sequence[Json] = ()
    uncited: Sequence[Json] = ()
    status: int = 200
    error: Json | None = None
    break_after: int | None = None
    stall: threading.Event | None = None
    meet: Sequence[str] = ()
    finish: str = "stop"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Chat:
    """A chat request as it arrived, and the moments (monotonic seconds) at which its pieces left."""

    model: str
    body: Json
    tenant: str
    sent: list[float] = field(default_factory=list)
    begun: threading.Event = field(default_factory=threading.Event)
    cancelled: bool = False
    ended: bool = False


@dataclass
class Tenant:
    files: dict[str, Json] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    stores: dict[str, Json] = field(default_factory=dict)
    members: dict[tuple[str, str], Json] = field(default_factory=dict)
    shares: dict[tuple[str, str, str], Json] = field(default_factory=dict)  # by store, kind and name
    reading: threading.Event | None = None  # files are read when it is set

    def attach(
        self, store: str, file: str, replaces: str | None = None, attributes: Json | None = None
    ) -> Json:
        """A file is read at the second look, a line a passage; one that begins with `MZ`, is empty, or begins with 不明 in
        Big5 without its `encoding` among the `attributes`, fails with a reason.
        Of files that begin with the same 《title》, each names its version below, the latest is in force."""
        content = self.contents[file]
        reason = None
        if not content.strip():
            reason = f"`{self.files[file]['filename']}` is empty: upload a file with text."
        elif content.startswith(b"MZ"):
            reason = f"`{self.files[file]['filename']}` is not a PDF: its content is a Windows program."
        elif content.startswith(UNCLEAR) and "encoding" not in (attributes or {}):
            reason = "The file's text encoding is not clear; save it as UTF-8 and upload it again."
        member = {
            "id": file,
            "object": "vector_store.file",
            "created_at": int(time.time()),
            "vector_store_id": store,
            "status": "in_progress",
            "last_error": None,
            "usage_bytes": len(content),
            "attributes": attributes or {},
            "bytes": len(content),
            "chunking_strategy": {"type": "other"},
            "progress": {"step": "embedding", "done": 3, "total": 12},
            "filename": self.files[file]["filename"],
            "editions": [],
            "replaces": replaces,
        }
        self.members[store, file] = dict(member)  # reading the file looks at it
        self.members[store, file]["_outcome"] = (
            {"status": "failed", "last_error": {"code": "invalid_file", "message": reason}}
            if reason
            else {"status": "completed", "replaces": None, "progress": self._read(file)}
        )
        return member

    def look(self, store: str, file: str) -> Json:
        member = self.members[store, file]
        if self.reading is None or self.reading.is_set():
            outcome = member.pop("_outcome", {})
            if outcome.get("status") == "completed" and (old := member["replaces"]):
                self.members.pop((store, old), None)
                if not self.standing(old):
                    self.files.pop(old, None)
            member |= outcome
        return member | {"editions": self._editions(store, file), "own": file in self.files}

    def standing(self, file: str) -> list[str]:
        return [held for held, each in self.members if each == file]

    def lines(self, file: str) -> list[str]:
        return self.contents[file].decode(self._encoding(file), "replace").splitlines(keepends=True)

    def _encoding(self, file: str) -> str:
        """The one that its attributes name, else UTF-8 where it fits, else GB18030, whether it is that or not."""
        members = [each for key, each in self.members.items() if key[1] == file]
        if named := next((each["attributes"].get("encoding") for each in members), None):
            return str(named)
        try:
            self.contents[file].decode()
        except UnicodeDecodeError:
            return "gb18030"
        return "utf-8"

    def _read(self, file: str) -> Json:
        lines = self.lines(file)
        articles = sum(line.startswith("第") for line in lines)
        known = {"step": "ready", "format": "text", "encoding": self._encoding(file)}
        known |= {"characters": sum(map(len, lines)), "chunks": len(lines)}
        return known | ({"articles": articles} if articles else {})

    def _law(self, file: str) -> tuple[str, str] | None:
        lines = [line.strip() for line in self.lines(file)[:2]]
        return (lines[0][1:-1], lines[1]) if len(lines) == 2 and lines[0].startswith("《") else None

    def _editions(self, store: str, file: str) -> list[Json]:
        ready = [each for held, each in self.members if held == store and each in self.files]
        laws = {each: law for each in ready if (law := self._law(each))}
        if file not in laws or self.members[store, file]["status"] != "completed":
            return []
        title, version = laws[file]
        later = sorted(date for name, date in laws.values() if name == title and date > version)
        told: Json = {"title": title, "version": version, "effective": version}
        return [told | {"until": later[0] if later else None, "superseded": bool(later)}]

    def passages(self, store: str, file: str) -> list[Json]:
        told, start = list[Json](), 0
        law, version = self._law(file) or (None, None)
        page = 3 if self.files.get(file, {}).get("filename", "").endswith(".pdf") else None
        for number, line in enumerate(self.lines(file), 1):
            place = {"start": start, "end": start + len(line), "page": page, "ocr": None, "path": ""}
            article = line.split()[0] if line.startswith("第") else None
            facts = {"law": law, "article": article, "clause": None, "version": version, "searchable": True}
            told.append(
                {"object": "vector_store.file.passage", "number": number, "text": line} | place | facts
            )
            start += len(line)
        return told

    def search(self, store: str, asked: Json) -> list[Json]:
        """The passages that have a character of the query, the more the better; of superseded editions only where the
        filters speak of them."""
        hits, query = list[Json](), set(asked["query"])
        for file in [each for held, each in self.members if held == store]:
            edition = next(iter(self._editions(store, file)), {})
            if edition.get("superseded") and "superseded" not in json.dumps(asked.get("filters", {})):
                continue
            for each in self.passages(store, file):
                if not (shared := query & set(each["text"])):
                    continue
                facts = {key: each[key] for key in ("law", "article", "version", "page", "start", "end")}
                facts |= {key: edition.get(key) for key in ("effective", "until")}
                facts |= {"superseded": edition.get("superseded") or None}
                hits.append(
                    {
                        "file_id": file,
                        "filename": self.files[file]["filename"],
                        "score": round(len(shared) / len(query), 6),
                        "attributes": {key: value for key, value in facts.items() if value is not None},
                        "content": [{"type": "text", "text": each["text"]}],
                    }
                )
        return sorted(hits, key=lambda hit: -hit["score"])[: asked["max_num_results"]]

    def store(self, store: str) -> Json:
        members = [self.look(*key) for key in list(self.members) if key[0] == store]
        states = [member["status"] for member in members]
        counts = {state: states.count(state) for state in ("in_progress", "completed", "failed", "cancelled")}
        return self.stores[store] | {"file_counts": counts | {"total": len(states)}}


def citation(marker: int = 1, **changed: Any) -> Json:
    """A citation of 劳动法 article 44."""
    return {
        "marker": marker,
        "file_id": "file-law",
        "filename": "中华人民共和国劳动法.txt",
        "page": None,
        "law": "中华人民共和国劳动法",
        "article": "第四十四条",
        "version": "2018-12-29",
        "quote": QUOTE,
        "start": 50,
        "end": 50 + len(QUOTE),
        "score": 0.83,
        "verified": True,
        "note": None,
    } | changed


def uncited(**changed: Any) -> Json:
    """The same passage where no answer cites it."""
    answers = ("verified", "note")
    return {name: value for name, value in citation(**changed).items() if name not in answers}


class FakeGateway:
    """Starts at construction; `stop` and `start` kill it and bring it back on the same port.

    `replies` are by model, and by `my-documents` for a request with `file_search`; one may depend on the request's body.
    `broken` are errors (502) by path.
    """

    def __init__(self, keys: dict[str, str] | None = None) -> None:
        self._keys = keys or {"sk-praxis-test": "office"}
        self._ids = itertools.count(1)
        self._folder = tempfile.TemporaryDirectory()
        self._state = connect(f"sqlite:///{self._folder.name}/state.db")
        self._conversations = Conversations(self._state)
        self.port = free_port()
        self.reset()
        self.start()

    def reset(self) -> None:
        """Forget everything that a test did."""
        with writing(self._state).begin() as connection:
            connection.execute(sa.delete(kept))
        self.keys = dict(self._keys)
        self.models: list[Json] = [
            _model("qwen2.5-0.5b", "praxis"),
            _model("default", "praxis") | {"kind": "alias", "base": "qwen2.5-0.5b"},
            _model("medical", "praxis", "qwen2.5-0.5b"),
            _model("labour-law", "praxis-assistant"),
            _model("multilingual-e5-small", "praxis-embedding"),
        ]
        self.replies: dict[str, Reply | Callable[[Json], Reply]] = {}
        self.passages: dict[str, tuple[str, str]] = {"file-law": (ARTICLE, QUOTE)}
        self.sheets: dict[tuple[str, int], bytes | str] = {}  # by file and page: a PNG, or what is not marked
        self.broken: dict[str, Json] = {}
        self.chats: list[Chat] = []
        self.tenants: dict[str, Tenant] = {}
        self.requests: list[str] = []
        self.limit = 1_000_000  # bytes of an upload

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        config = uvicorn.Config(
            self._app(),
            "127.0.0.1",
            self.port,
            log_level="error",
            timeout_graceful_shutdown=0,
            lifespan="off",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.01)
            if not self._thread.is_alive():
                raise RuntimeError(f"port {self.port} is taken")

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(60)

    def close(self) -> None:
        self.stop()
        self._state.dispose()
        self._folder.cleanup()

    def chat_of(self, model: str) -> Chat:
        """The latest chat that asked `model`."""
        return next(chat for chat in reversed(self.chats) if chat.model == model)

    def holds_pictures(self) -> bool:
        """Whether any conversation's picture is kept."""
        with self._state.connect() as connection:
            return connection.execute(sa.select(images.c.item_id)).first() is not None

    def _app(self) -> Starlette:
        file, store = "/v1/files/{file}", "/v1/vector_stores/{store}"
        return Starlette(
            routes=[
                Route("/healthz", lambda _: JSONResponse({"status": "ok"})),
                Route("/v1/models", self._keyed(self._list_models)),
                Route("/v1/chat/completions", self._keyed(self._chat), methods=["POST"]),
                Route("/v1/files", self._keyed(self._files), methods=["GET", "POST"]),
                Route(f"{file}/passage", self._passage),
                Route(f"{file}/content", self._keyed(self._content)),
                Route(f"{file}/pages/{{page:int}}", self._keyed(self._sheet)),
                Route(file, self._keyed(self._file), methods=["GET", "DELETE"]),
                Route("/v1/vector_stores", self._keyed(self._stores), methods=["GET", "POST"]),
                Route(store, self._keyed(self._delete_store), methods=["DELETE"]),
                Route(f"{store}/files", self._keyed(self._members), methods=["GET", "POST"]),
                Route(f"{store}/files/{{file}}", self._keyed(self._member), methods=["GET", "DELETE"]),
                Route(f"{store}/files/{{file}}/passages", self._keyed(self._passages)),
                Route(f"{store}/search", self._keyed(self._search), methods=["POST"]),
                Route(f"{store}/shares", self._keyed(self._shares), methods=["GET", "PUT", "DELETE"]),
                Mount("/", self._surface()),
            ]
        )

    def _surface(self) -> FastAPI:
        surface = FastAPI()
        surface.state.access = self
        http_errors.install(surface)
        surface.include_router(conversations_api.routes(self._conversations))
        surface.include_router(votes_api.routes(Votes(self._state)))

        @surface.get("/admin/v1/backends")
        async def backends(_: Operator) -> Json:
            return {"object": "list", "data": []}  # for nobody: none of its keys is an admin's

        return surface

    async def principal(self, headers: Iterable[tuple[bytes, bytes]]) -> Principal:
        """Who sent these headers, as the gateway's own `Access` tells it. Raises NotAuthenticated."""
        sent = dict(headers).get(b"authorization", b"").decode().removeprefix("Bearer ")
        if sent not in self.keys:
            raise NotAuthenticated("The API key is not known.")
        return Principal(f"key_{self.keys[sent]}", self.keys[sent], self.keys[sent], "user")

    def _keyed(self, serve: Callable[[Request, Tenant], Any]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            self.requests.append(f"{request.method} {request.url}")
            tenant = self.keys.get(request.headers.get("authorization", "").removeprefix("Bearer "))
            if tenant is None:
                return _failure(
                    401,
                    "authentication_error",
                    "The API key is not known. Create one with `praxis keys create`.",
                )
            request.state.tenant = tenant
            if request.url.path in self.broken:
                return JSONResponse({"error": self.broken[request.url.path]}, 502)
            try:
                reply: Response = await serve(request, self.tenants.setdefault(tenant, Tenant()))
            except KeyError as missing:
                return _failure(404, "not_found_error", f"There is no {missing}.")
            return reply

        return endpoint

    async def _list_models(self, request: Request, tenant: Tenant) -> Response:
        return JSONResponse({"object": "list", "data": self.models})

    async def _files(self, request: Request, tenant: Tenant) -> Response:
        if request.method == "GET":
            return _page(list(tenant.files.values()), request)
        async with request.form() as form:
            upload, purpose = form["file"], form["purpose"]
            assert not isinstance(upload, str)
            content = await upload.read()
        if len(content) > self.limit:
            return _failure(
                413, "request_too_large", f"`{upload.filename}` is larger than {self.limit} bytes."
            )
        file = self._id("file")
        tenant.contents[file] = content
        tenant.files[file] = {
            "id": file,
            "object": "file",
            "bytes": len(content),
            "created_at": int(time.time()),
            "filename": upload.filename,
            "purpose": purpose,
            "status": "processed",
        }
        return JSONResponse(tenant.files[file])

    async def _file(self, request: Request, tenant: Tenant) -> Response:
        file = request.path_params["file"]
        if request.method == "GET":
            return JSONResponse(tenant.files[file] | {"vector_store_ids": tenant.standing(file)})
        del tenant.files[file]
        tenant.members = {key: member for key, member in tenant.members.items() if key[1] != file}
        return JSONResponse({"id": file, "object": "file", "deleted": True})

    async def _content(self, request: Request, tenant: Tenant) -> Response:
        return Response(tenant.contents[request.path_params["file"]], media_type="application/octet-stream")

    async def _stores(self, request: Request, tenant: Tenant) -> Response:
        if request.method == "GET":
            return _page([tenant.store(store) for store in reversed(tenant.stores)], request)
        store = self._id("vs")
        name = (await request.json()).get("name", "")
        tenant.stores[store] = {
            "id": store,
            "object": "vector_store",
            "created_at": int(time.time()),
            "name": name,
        }
        return JSONResponse(tenant.store(store))

    async def _delete_store(self, request: Request, tenant: Tenant) -> Response:
        store = request.path_params["store"]
        del tenant.stores[store]
        tenant.members = {key: member for key, member in tenant.members.items() if key[0] != store}
        return JSONResponse({"id": store, "object": "vector_store.deleted", "deleted": True})

    async def _members(self, request: Request, tenant: Tenant) -> Response:
        store = request.path_params["store"]
        if request.method == "POST":
            body = await request.json()
            return JSONResponse(
                tenant.attach(store, body["file_id"], body.get("replaces"), body.get("attributes"))
            )
        return _page([tenant.look(*key) for key in reversed(tenant.members) if key[0] == store], request)

    async def _member(self, request: Request, tenant: Tenant) -> Response:
        store, file = request.path_params["store"], request.path_params["file"]
        if request.method == "DELETE":
            del tenant.members[store, file]
            return JSONResponse({"id": file, "object": "vector_store.file.deleted", "deleted": True})
        return JSONResponse(tenant.look(store, file))

    async def _passages(self, request: Request, tenant: Tenant) -> Response:
        held = tenant.passages(request.path_params["store"], request.path_params["file"])
        asked = {name: int(value) for name, value in request.query_params.items()}
        before = sum(each["end"] <= asked["at"] for each in held) if "at" in asked else 0
        after, limit = asked.get("after", before), asked["limit"]
        page = held[after : after + limit]
        more = after + len(page) < len(held)
        return JSONResponse({"object": "list", "data": page, "total": len(held), "has_more": more})

    async def _search(self, request: Request, tenant: Tenant) -> Response:
        asked = await request.json()
        found = tenant.search(request.path_params["store"], asked)
        page = {"object": "vector_store.search_results.page", "search_query": [asked["query"]], "data": found}
        return JSONResponse(page | {"has_more": False, "next_page": None})

    async def _shares(self, request: Request, tenant: Tenant) -> Response:
        store = request.path_params["store"]
        if request.method == "GET":
            held = [share for key, share in tenant.shares.items() if key[0] == store]
            return JSONResponse({"object": "list", "data": held, "has_more": False})
        asked = dict(request.query_params) if request.method == "DELETE" else await request.json()
        kind = "tenant" if "tenant" in asked else "key"
        place = (store, kind, asked[kind])
        if request.method == "DELETE":
            del tenant.shares[place]
            return JSONResponse({"object": "vector_store.share.deleted", "deleted": True})
        if place[1:] == ("tenant", request.state.tenant):
            return _failure(400, "invalid_request_error", f"`{store}` is the tenant's own; name another.")
        tenant.shares[place] = {
            "object": "vector_store.share",
            "vector_store_id": store,
            "tenant": asked.get("tenant"),
            "key": asked.get("key"),
            "right": asked.get("right", "read"),
            "created_at": int(time.time()),
            "granted_by": "key_1",
        }
        return JSONResponse(tenant.shares[place])

    async def _passage(self, request: Request) -> Response:
        if request.query_params.get("signature") != "valid":
            return HTMLResponse("<h1>403</h1>", 403)
        text, words = self.passages[request.path_params["file"]]
        before, _, after = text.partition(words)
        body = f"<span>{escape(before)}</span><mark>{escape(words)}</mark><span>{escape(after)}</span>"
        return HTMLResponse(f"<!doctype html><title>原文</title><header>劳动法</header><main>{body}</main>")

    async def _sheet(self, request: Request, tenant: Tenant) -> Response:
        file, page = request.path_params["file"], request.path_params["page"]
        drawn = self.sheets[file, page]
        told = {
            "x-praxis-pages": str(max(number for each, number in self.sheets if each == file)),
            "x-praxis-marked": drawn if isinstance(drawn, str) else "words",
            "x-praxis-marked-top": "0.5",
            "x-praxis-passage-pages": "3-3",
        }
        return Response(PIXEL if isinstance(drawn, str) else drawn, headers=told, media_type="image/png")

    async def _chat(self, request: Request, tenant: Tenant) -> Response:
        body = await request.json()
        chat = Chat(body["model"], body, request.state.tenant)
        self.chats.append(chat)
        grounded = bool(body.get("tools")) or body["model"] == "labour-law"
        scripted = self.replies.get("my-documents" if body.get("tools") else body["model"], Reply())
        reply = scripted if isinstance(scripted, Reply) else scripted(body)
        if reply.status != 200:
            return JSONResponse({"error": reply.error}, reply.status, reply.headers)
        return StreamingResponse(self._stream(chat, reply, grounded), media_type="text/event-stream")

    async def _stream(self, chat: Chat, reply: Reply, grounded: bool) -> AsyncIterator[str]:
        try:
            yield _event({"role": "assistant", "content": ""})
            for thought in reply.thinking:
                yield _event({"reasoning": thought})
            for number, piece in enumerate(reply.pieces):
                if number == reply.break_after:
                    yield f"data: {json.dumps({'error': reply.error})}\n\n" if reply.error else ""
                    return
                chat.sent.append(time.monotonic())
                yield _event({"content": piece})
                chat.begun.set()
                if number == 0:
                    await self._hold(reply)
            if grounded:
                yield _event(self._evidence(reply))
            yield _event({}, reply.finish)
            usage = {
                "prompt_tokens": 20,
                "completion_tokens": len(reply.pieces),
                "total_tokens": 20 + len(reply.pieces),
            }
            yield f"data: {json.dumps({'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n"
            chat.ended = True
        except asyncio.CancelledError:
            chat.cancelled = True
            raise

    async def _hold(self, reply: Reply) -> None:
        """Wait for the test, and for the streams to `meet`: two sides that meet have both begun before either ends."""
        if reply.stall:
            await _until(reply.stall.is_set)
        for model in reply.meet:
            await _until(partial(self._has_begun, model))

    def _has_begun(self, model: str) -> bool:
        return any(chat.model == model and chat.begun.is_set() for chat in self.chats)

    def _evidence(self, reply: Reply) -> Json:
        links = [
            f"{self.url}/v1/files/{quote(item['file_id'])}/passage?start={item['start']}&end={item['end']}&signature=valid"
            for item in reply.citations
        ]
        annotations = [
            {
                "type": "url_citation",
                "url_citation": {"start_index": 0, "end_index": 3, "title": "", "url": link},
            }
            for link in links
        ]
        evidence: Json = {"citations": list(reply.citations), "annotations": annotations}
        further = {"unverified": list(reply.unverified), "uncited": list(reply.uncited)}
        return evidence | {name: items for name, items in further.items() if items}

    def _id(self, kind: str) -> str:
        return f"{kind}-{next(self._ids)}"


@contextmanager
def running(keys: dict[str, str] | None = None) -> Iterator[FakeGateway]:
    gateway = FakeGateway(keys)
    try:
        yield gateway
    finally:
        gateway.close()


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 (what is waited for happens in the test's thread)
        await asyncio.sleep(0.02)


def _model(name: str, owner: str, parent: str | None = None) -> Json:
    return {"id": name, "object": "model", "created": 1760000000, "owned_by": owner} | (
        {"parent": parent} if parent else {}
    )


def _page(items: list[Json], request: Request) -> Response:
    """A page of a cursor-paged list."""
    after, limit = request.query_params.get("after"), int(request.query_params.get("limit", "20"))
    ids = [item["id"] for item in items]
    items = items[ids.index(after) + 1 :] if after else items
    more, items = len(items) > limit, items[:limit]
    ends = (
        {"first_id": items[0]["id"], "last_id": items[-1]["id"]}
        if items
        else {"first_id": None, "last_id": None}
    )
    return JSONResponse({"object": "list", "data": items, "has_more": more} | ends)


def _failure(status: int, kind: str, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": kind, "param": None, "code": None}}, status)


def _event(delta: Json, finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    event = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
    }
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n"
