"""Conversations that the gateway keeps for the key's tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from ui.client import Gateway, Json

PATH = "/v1/conversations"
TITLE = 80  # characters
LISTED = 200  # conversations; older ones are found by searching
AT_ONCE = 20  # messages that are appended at once
BATCH = "batch"
"""What the metadata of a batch has beside its title: how many questions it began with."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A conversation in the list; `used_at` is Unix time. A batch has a number of `questions`."""

    id: str
    title: str
    used_at: int
    questions: int | None = None


@dataclass(frozen=True, slots=True)
class History:
    """The gateway's conversations, as one key sees them. Every call raises GatewayError."""

    gateway: Gateway

    def entries(self, query: str = "") -> list[Entry]:
        """The last used first; with `query` those in which it stands."""
        asked = {"query": query} if query else {}
        return [_entry(item) for item in islice(self.gateway.pages(PATH, **asked), LISTED)]

    def begin(self, title: str, metadata: Mapping[str, str] | None = None, first: Sequence[Json] = ()) -> str:
        """Begin a conversation with its `first` messages; returns its id."""
        body = {"metadata": {"title": title[:TITLE]} | dict(metadata or {}), "items": list(first)}
        return str(self.gateway.call("POST", PATH, json=body)["id"])

    def entry(self, conversation: str) -> Entry:
        return _entry(self.gateway.call("GET", f"{PATH}/{conversation}"))

    def rename(self, conversation: str, title: str) -> None:
        metadata = self.gateway.call("GET", f"{PATH}/{conversation}")["metadata"]
        body = {"metadata": metadata | {"title": title[:TITLE]}}
        self.gateway.call("POST", f"{PATH}/{conversation}", json=body)

    def delete(self, conversation: str) -> None:
        self.gateway.call("DELETE", f"{PATH}/{conversation}")

    def items(self, conversation: str) -> list[Json]:
        """All that was said, the oldest first."""
        return list(self.gateway.pages(f"{PATH}/{conversation}/items", order="asc"))

    def picture(self, conversation: str, item: str, number: int) -> bytes:
        """A picture in an item, from 1."""
        return self.gateway.content(f"{PATH}/{conversation}/items/{item}/images/{number}")

    def add(self, conversation: str, messages: Sequence[Json]) -> list[str]:
        """Append up to `AT_ONCE` messages; returns their ids."""
        reply = self.gateway.call("POST", f"{PATH}/{conversation}/items", json={"items": list(messages)})
        return [item["id"] for item in reply["data"]]

    def replace(self, conversation: str, item: str, message: Json) -> None:
        """Put `message` in the place of an item."""
        self.gateway.call("POST", f"{PATH}/{conversation}/items/{item}", json=message)


def _entry(item: Json) -> Entry:
    metadata = item["metadata"]
    count = metadata.get(BATCH, "")
    questions = int(count) if count.isdecimal() else None
    return Entry(item["id"], metadata.get("title") or item["id"], item["updated_at"], questions)
