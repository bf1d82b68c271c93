"""Knowledge bases as the pages use them: their files, how these were split, what a search finds, with whom they are shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ui.client import Gateway, Json, Store, taken

NAMES = (".txt", ".text", ".md", ".markdown", ".pdf", ".docx", ".html", ".htm", ".xhtml")
"""How the names end of files that Praxis reads; the server goes by their first bytes."""

SEARCH_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file is: its step, and of that step so many `done` of `total`, where it tells."""

    step: str = "received"
    done: int = 0
    total: int = 0

    @property
    def share(self) -> float:
        """How much of the whole way is behind it, about: recognising and embedding take nearly all of the time."""
        begin, end = _SPANS.get(self.step, (0.0, 0.0))
        return begin + (end - begin) * (min(self.done, self.total) / self.total if self.total else 0.0)


_SPANS = {
    "received": (0.0, 0.05),
    "reading": (0.05, 0.15),
    "recognising": (0.15, 0.55),
    "splitting": (0.55, 0.6),
    "embedding": (0.6, 1.0),
    "ready": (1.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class Contents:
    """What was read of a file; `recognised` are the pages read by OCR, `notes` what its owner should know."""

    format: str = ""
    encoding: str = ""
    characters: int = 0
    pages: int = 0
    recognised: tuple[int, ...] = ()
    passages: int = 0
    articles: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Edition:
    """A law that a file holds, in the wording of `version`; in force since `effective`, until another edition took or takes
    its place (ISO dates), which for one that is `superseded` is the one that answers."""

    title: str
    version: str | None
    effective: str | None
    until: str | None
    superseded: bool


@dataclass(frozen=True, slots=True)
class Document:
    """A file of a knowledge base. `status` is in_progress, completed, failed or cancelled; `created_at` is Unix time;
    `code` and `error` say why it failed; `replaces` is the id of the file whose place it takes once it is read."""

    id: str
    filename: str
    bytes: int
    created_at: int
    status: str
    error: str = ""
    code: str = ""
    progress: Progress = Progress()
    contents: Contents = Contents()
    editions: tuple[Edition, ...] = ()
    replaces: str = ""
    own: bool = True  # and not another tenant's, in a knowledge base that is shared
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a file's text, the `number`th from 1. One that is not `searchable` stands in the text alone."""

    number: int
    text: str
    start: int
    end: int
    page: int | None
    law: str | None
    article: str | None
    clause: str | None
    version: str | None
    path: str
    ocr: bool | None
    searchable: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that a search found, with how well it answers: 0 to 1. `start` and `end` are where it stands in the file's
    text; `superseded` where another edition is in force."""

    file: str
    filename: str
    score: float
    text: str
    start: int
    end: int
    law: str | None = None
    article: str | None = None
    page: int | None = None
    version: str | None = None
    effective: str | None = None
    until: str | None = None
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class Share:
    """With whom a knowledge base is shared: a `tenant` by its name or a `key` by its id; `right` is read or write."""

    tenant: str | None
    key: str | None
    right: str
    created_at: int

    @property
    def whom(self) -> Mapping[str, str]:
        return {"tenant": self.tenant} if self.tenant else {"key": self.key or ""}


@dataclass(frozen=True, slots=True)
class Library:
    """The key's knowledge bases at the gateway."""

    gateway: Gateway

    def documents(self, store: str) -> list[Document]:
        """The files of a knowledge base, newest first."""
        return [_document(item) for item in self.gateway.pages(f"{_path(store)}/files")]

    def document(self, store: str, file: str) -> Document:
        return _document(self.gateway.call("GET", f"{_path(store)}/files/{file}"))

    def attach(self, store: str, file: str, replaces: str = "", attributes: Json | None = None) -> Document:
        """Have an uploaded file read into a knowledge base, where it takes the place of the one it `replaces` once it
        is ready; its status says so. Its `attributes` take the place of all that it had there."""
        body: Json = {"file_id": file} | ({"replaces": replaces} if replaces else {})
        body |= {"attributes": attributes} if attributes else {}
        return _document(self.gateway.call("POST", f"{_path(store)}/files", json=body))

    def delete_file(self, file: str) -> None:
        """Delete a file, from every knowledge base too."""
        self.gateway.call("DELETE", f"/v1/files/{file}")

    def take_out(self, store: str, file: str) -> None:
        """Take a file out of a knowledge base; it stays its tenant's."""
        self.gateway.call("DELETE", f"{_path(store)}/files/{file}")

    def standing(self, file: str) -> list[str]:
        """The ids of the knowledge bases that one's own file stands in."""
        return list(self.gateway.call("GET", f"/v1/files/{file}")["vector_store_ids"])

    def delete(self, store: Store, *, files: bool) -> None:
        """Delete a knowledge base, and where it says so first its files that stand in no other."""
        for each in self.documents(store.id) if files else ():
            if each.own and self.standing(each.id) == [store.id]:
                self.delete_file(each.id)
        self.gateway.delete_store(store.id)

    def passages(self, store: str, file: str, *, after: int, limit: int) -> tuple[list[Passage], int]:
        """At most `limit` passages beyond the first `after`, in the order of the text, and how many there are."""
        page = self.gateway.call(
            "GET", f"{_path(store)}/files/{file}/passages", params={"after": after, "limit": limit}
        )
        return [taken(Passage, item) for item in page["data"]], page["total"]

    def number(self, store: str, file: str, at: int) -> int:
        """Which passage of a file holds the character `at` of its text, from 1."""
        asked = {"at": at, "limit": 1}
        page = self.gateway.call("GET", f"{_path(store)}/files/{file}/passages", params=asked)
        return int(page["data"][0]["number"]) if page["data"] else 1

    def head(self, file: str, count: int) -> bytes:
        """The first `count` bytes of one's own file, as it was uploaded."""
        return self.gateway.head(f"/v1/files/{file}/content", count)

    def content(self, file: str) -> bytes:
        """One's own file, as it was uploaded."""
        return self.gateway.content(f"/v1/files/{file}/content")

    def search(self, store: str, query: str, *, limit: int, filters: Json | None = None) -> list[Found]:
        """What the knowledge base holds about `query`, best first."""
        body: Json = {"query": query, "max_num_results": limit} | ({"filters": filters} if filters else {})
        reply = self.gateway.call("POST", f"{_path(store)}/search", json=body, timeout=SEARCH_TIMEOUT)
        return [_found(item) for item in reply["data"]]

    def shares(self, store: str) -> list[Share]:
        """With whom the knowledge base is shared, oldest first."""
        return [taken(Share, item) for item in self.gateway.call("GET", f"{_path(store)}/shares")["data"]]

    def share(self, store: str, whom: Mapping[str, str], right: str) -> None:
        """Share with a `tenant` or a `key`, in place of what they could do before."""
        self.gateway.call("PUT", f"{_path(store)}/shares", json={"right": right, **whom})

    def unshare(self, store: str, whom: Mapping[str, str]) -> None:
        self.gateway.call("DELETE", f"{_path(store)}/shares", params=dict(whom))


def _path(store: str) -> str:
    return f"/v1/vector_stores/{store}"


def _document(item: Json) -> Document:
    """A file in a knowledge base."""
    told, failure = item.get("progress") or {}, item.get("last_error") or {}
    return Document(
        id=item["id"],
        filename=item.get("filename") or item["id"],
        bytes=item.get("bytes") or 0,
        created_at=item.get("created_at") or 0,
        status=item.get("status") or "in_progress",
        error=failure.get("message") or "",
        code=failure.get("code") or "",
        progress=Progress(told.get("step") or "received", told.get("done") or 0, told.get("total") or 0),
        contents=_contents(told) if told.get("step") == "ready" else Contents(),
        editions=tuple(taken(Edition, each) for each in item.get("editions") or ()),
        replaces=item.get("replaces") or "",
        own=bool(item.get("own")),
        attributes=item.get("attributes") or {},
    )


def _contents(told: Json) -> Contents:
    return Contents(
        format=told.get("format") or "",
        encoding=told.get("encoding") or "",
        characters=told.get("characters") or 0,
        pages=told.get("pages") or 0,
        recognised=tuple(told.get("pages_recognised") or ()),
        passages=told.get("chunks") or 0,
        articles=told.get("articles") or 0,
        notes=tuple(told.get("notes") or ()),
    )


def _found(item: Json) -> Found:
    known: Mapping[str, Any] = item.get("attributes") or {}
    parts: Sequence[Json] = item.get("content") or ()
    return Found(
        file=item["file_id"],
        filename=item["filename"],
        score=item["score"],
        text="".join(each["text"] for each in parts),
        start=known["start"],
        end=known["end"],
        law=known.get("law"),
        article=known.get("article"),
        page=known.get("page"),
        version=known.get("version"),
        effective=known.get("effective"),
        until=known.get("until"),
        superseded=bool(known.get("superseded")),
    )
