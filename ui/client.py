"""The gateway's HTTP API as the pages use it.

Control calls are synchronous; a chat is an asynchronous stream, so that it can be cancelled in every phase.
Whatever goes wrong is a `GatewayError` that carries one sentence.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import httpx

Json = dict[str, Any]
T = TypeVar("T")

CONTROL_TIMEOUT = httpx.Timeout(10.0, connect=5.0)  # seconds
PAGE_TIMEOUT = httpx.Timeout(120.0, connect=5.0)
UPLOAD_TIMEOUT = httpx.Timeout(300.0, connect=5.0)
# The gateway itself bounds a chat (rule 4 of its hot path); the page's own limit only has to lie beyond that.
CHAT_TIMEOUT = httpx.Timeout(900.0, connect=5.0)
PROBE_TIMEOUT = 2.0
PAGE_SIZE = 100


class GatewayError(Exception):
    """A failed call: `kind` is the API's error type, or one of the kinds below; `detail` is the server's sentence.

    `retry_after` are the seconds after which the server wants to be asked again, where it says so.
    """

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    BROKEN = "broken_reply"

    def __init__(
        self, kind: str, detail: str = "", status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(detail or kind)
        self.kind = kind
        self.detail = detail
        self.status = status
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Model:
    """An entry of `/v1/models`."""

    id: str
    owned_by: str
    parent: str | None = None
    images: int = 0  # that a request may hold; none where it sees no pictures

    @property
    def answers_from_documents(self) -> bool:
        return self.owned_by == "praxis-assistant"

    @property
    def chats(self) -> bool:
        return self.owned_by != "praxis-embedding"


@dataclass(frozen=True, slots=True)
class Store:
    """A knowledge base: an OpenAI vector store with a name. `right` is what one may do with another tenant's, which
    has that tenant before its name: read, or write, that is add and remove files; None is one's own."""

    id: str
    name: str
    completed: int
    total: int
    right: str | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage that the answer rests on; `start` and `end` are character offsets in the file's extracted text.

    So are those told that were found for an answer which rests on none of them.
    """

    marker: int
    file_id: str
    filename: str
    quote: str
    start: int
    end: int
    page: int | None = None
    law: str | None = None
    article: str | None = None
    version: str | None = None
    score: float | None = None
    verified: bool = False
    note: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page of a PDF as a picture (PNG), one of `pages`. `marked` says what of the cited words is marked: the `words`, the
    `lines` that hold them, nothing because their place is `unsure`, or nothing because `none` of them stands there; `top`
    where, as a share of the page's height; `passage` the first and last page on which they stand."""

    png: bytes
    page: int
    pages: int
    marked: str
    top: float = 0.0
    passage: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Unverified:
    """An article number that the answer names and the knowledge base lacks; `nearest` is the nearest one it has."""

    law: str | None
    article: str | None
    nearest: str | None


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one reply."""

    prompt: int
    completion: int


@dataclass(frozen=True, slots=True)
class Delta:
    """What one event of a chat stream adds."""

    text: str = ""
    thinking: str = ""
    citations: tuple[Citation, ...] | None = None
    unverified: tuple[Unverified, ...] = ()
    uncited: tuple[Citation, ...] = ()
    usage: Usage | None = None
    finish: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A chat request: `messages` as the API takes them; `stores` are the knowledge bases to search, if any.

    `settings` are further fields of the request, such as a temperature.
    """

    model: str
    messages: Sequence[Mapping[str, Any]]
    stores: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def body(self) -> Json:
        body: Json = {
            "model": self.model,
            "messages": [dict(message) for message in self.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.settings,
        }
        if self.stores:
            body["tools"] = [{"type": "file_search", "vector_store_ids": list(self.stores)}]
        return body


@dataclass
class Gateway:
    """The gateway at `url`, called with one key."""

    url: str
    key: str = field(repr=False)

    def __post_init__(self) -> None:
        if not (self.key.isascii() and self.key.isprintable()):
            raise GatewayError("authentication_error")  # no such key exists, and no header could carry it
        self.url = self.url.rstrip("/")
        self._http = httpx.Client(**self._options(CONTROL_TIMEOUT))

    def _options(self, timeout: httpx.Timeout) -> Json:
        # The gateway is the house's own: a proxy from the environment has no business with the key.
        headers = {"authorization": f"Bearer {self.key}"}
        return {"base_url": self.url, "headers": headers, "timeout": timeout, "trust_env": False}

    def close(self) -> None:
        self._http.close()

    def alive(self) -> bool:
        """Whether the gateway answers at all."""
        try:
            return self._http.get("/healthz", timeout=PROBE_TIMEOUT).is_success
        except httpx.TransportError:
            return False

    def operable(self) -> bool:
        """Whether the key may operate the gateway; of a key's life that never changes."""
        try:
            self.call("GET", "/admin/v1/backends")
        except GatewayError as error:
            if error.status == 403:
                return False
            raise
        return True

    def models(self) -> list[Model]:
        """Every model, adapter and assistant that the key may use, each by its own name only."""
        return [
            Model(item["id"], item.get("owned_by") or "", item.get("parent"), item.get("images") or 0)
            for item in self.call("GET", "/v1/models")["data"]
            if item.get("kind") != "alias"
        ]

    def stores(self) -> list[Store]:
        """The key's knowledge bases, newest first."""
        return [_store(item) for item in self.pages("/v1/vector_stores")]

    def create_store(self, name: str) -> Store:
        return _store(self.call("POST", "/v1/vector_stores", json={"name": name}))

    def delete_store(self, store: str) -> None:
        self.call("DELETE", f"/v1/vector_stores/{store}")

    def upload(self, filename: str, content: bytes) -> str:
        """Send a file; returns its id."""
        reply = self.call(
            "POST",
            "/v1/files",
            data={"purpose": "assistants"},
            files={"file": (filename, content)},
            timeout=UPLOAD_TIMEOUT,
        )
        return str(reply["id"])

    def sheet(self, citation: Citation, page: int, width: int) -> Sheet:
        """A page of the cited file, `width` pixels wide, the cited words marked on it."""
        span = {"start": citation.start, "end": citation.end, "width": width}
        with _failures():
            path = f"/v1/files/{citation.file_id}/pages/{page}"
            reply = self._answer("GET", path, params=span, timeout=PAGE_TIMEOUT)
            told = reply.headers
            first, _, last = told.get("x-praxis-passage-pages", "").partition("-")
            return Sheet(
                reply.content,
                page,
                int(told["x-praxis-pages"]),
                told["x-praxis-marked"],
                float(told.get("x-praxis-marked-top", 0)),
                (int(first), int(last)) if last else None,
            )

    def call(self, method: str, path: str, **options: Any) -> Json:
        """One request of the API; `options` are httpx's."""
        with _failures():
            reply: Json = self._answer(method, path, **options).json()
            return reply

    def text(self, path: str) -> str:
        """What stands there, as text."""
        with _failures():
            return self._answer("GET", path).text

    def head(self, path: str, count: int) -> bytes:
        """The first `count` bytes of what stands there."""
        with _failures(), self._http.stream("GET", path) as response:
            if response.is_error:
                response.read()
                raise _refusal(response)
            held = b""
            for chunk in response.iter_bytes():
                held += chunk
                if len(held) >= count:
                    break
            return held[:count]

    def content(self, path: str) -> bytes:
        """What stands there, as it is."""
        with _failures():
            return self._answer("GET", path).content

    def _answer(self, method: str, path: str, **options: Any) -> httpx.Response:
        response = self._http.request(method, path, **options)
        if response.is_error:
            raise _refusal(response)
        return response

    def pages(self, path: str, **asked: str) -> Iterator[Json]:
        """Every item of a cursor-paged list, `asked` for by these parameters."""
        after: dict[str, str] = {}
        while True:
            page = self.call("GET", path, params={"limit": PAGE_SIZE} | asked | after)
            items: list[Json] = page["data"]
            yield from items
            if not items or not page.get("has_more"):
                return
            after = {"after": items[-1]["id"]}

    async def chat(self, question: Question) -> AsyncIterator[Delta]:
        """Stream the answer; raises GatewayError where it is refused, breaks off or ends without its end mark."""
        with _failures():
            async with (
                httpx.AsyncClient(**self._options(CHAT_TIMEOUT)) as http,
                http.stream("POST", "/v1/chat/completions", json=question.body()) as response,
            ):
                if response.is_error:
                    await response.aread()
                    raise _refusal(response)
                async for line in response.aiter_lines():
                    data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
                    if data == "[DONE]":
                        return
                    if data:
                        yield _delta(json.loads(data))
        raise GatewayError(GatewayError.BROKEN)

    async def passage(self, link: str) -> str:
        """The HTML page behind a citation's signed link, read at this gateway whatever host the link names."""
        target = httpx.URL(link)
        with _failures():
            async with httpx.AsyncClient(base_url=self.url, timeout=CONTROL_TIMEOUT, trust_env=False) as http:
                response = await http.get(target.raw_path.decode("ascii"))
            if response.is_error:
                raise _refusal(response)
            return response.text


def taken(kind: type[T], item: Json, **other: Any) -> T:
    """A dataclass `kind` with what `item` has under the names of its fields, and with `other`."""
    named = {each.name for each in fields(kind)} - other.keys()  # type: ignore[arg-type]
    return kind(**{name: item[name] for name in named}, **other)


@contextmanager
def _failures() -> Iterator[None]:
    """Turns what httpx and json raise into a `GatewayError`."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise GatewayError(GatewayError.UNREACHABLE) from error
    except httpx.TimeoutException as error:
        raise GatewayError(GatewayError.TIMEOUT) from error
    except (httpx.TransportError, ValueError, KeyError, TypeError) as error:
        raise GatewayError(GatewayError.BROKEN) from error


def _refusal(response: httpx.Response) -> GatewayError:
    try:
        return _error(response.json()["error"], response)
    except (ValueError, KeyError, TypeError):
        return GatewayError(GatewayError.BROKEN, f"HTTP {response.status_code}", response.status_code)


def _error(error: Json, response: httpx.Response | None = None) -> GatewayError:
    kind = str(error.get("code") if error.get("code") == "model_not_found" else error.get("type"))
    message = str(error.get("message") or "")
    if response is None:
        return GatewayError(kind, message)
    wait = response.headers.get("retry-after", "")
    return GatewayError(kind, message, response.status_code, float(wait) if wait.isdecimal() else None)


def _store(item: Json) -> Store:
    counts, shared = item.get("file_counts") or {}, item.get("shared")
    name = item.get("name") or item["id"]
    return Store(
        item["id"],
        f"{shared['tenant']} / {name}" if shared else name,
        counts.get("completed", 0),
        counts.get("total", 0),
        shared["right"] if shared else None,
    )


def _delta(event: Json) -> Delta:
    if event.get("error"):
        raise _error(event["error"])
    usage = event.get("usage")
    choice: Json = next(iter(event.get("choices") or ()), {})
    delta = choice.get("delta") or {}
    citations = delta.get("citations")
    return Delta(
        text=delta.get("content") or "",
        thinking=delta.get("reasoning") or delta.get("reasoning_content") or "",
        citations=None if citations is None else _citations(citations, delta.get("annotations") or ()),
        unverified=tuple(
            Unverified(item.get("law"), item.get("article"), item.get("nearest"))
            for item in delta.get("unverified") or ()
        ),
        uncited=tuple(map(citation, delta.get("uncited") or ())),
        usage=Usage(usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)) if usage else None,
        finish=choice.get("finish_reason"),
    )


def _citations(items: Sequence[Json], annotations: Sequence[Json]) -> tuple[Citation, ...]:
    """The citations, each with the link of the annotation that points to the same passage."""
    links: dict[tuple[str, str, str], str] = {}
    for annotation in annotations:
        url = httpx.URL(annotation["url_citation"]["url"])
        file = url.path.removesuffix("/passage").rpartition("/")[2]
        links[file, url.params.get("start", ""), url.params.get("end", "")] = str(url)
    return tuple(
        citation({**item, "url": links.get((item["file_id"], str(item["start"]), str(item["end"])))})
        for item in items
    )


def citation(item: Json) -> Citation:
    """A citation as the API tells it."""
    known = Citation.__dataclass_fields__.keys()
    return Citation(**{name: value for name, value in item.items() if name in known})
