"""Conversations that the gateway keeps for the key's tenant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from ui.client import Gateway, Json

PATH = "/v1/conversations"
TITLE = 80  # characters
LISTED = 200  # conversations; older ones are found by searching


@dataclass(frozen=True, slots=True)
class Entry:
    """A conversation in the list; `used_at` is Unix time."""

    id: str
    title: str
    used_at: int


@dataclass(frozen=True, slots=True)
class History:
    """The gateway's conversations, as one key sees them. Every call raises GatewayError."""

    gateway: Gateway

    def entries(self, query: str = "") -> list[Entry]:
        """The last used first; with `query` those in which it stands."""
        asked = {"query": query} if query else {}
        return [_entry(item) for item in islice(self.gateway.pages(PATH, **asked), LISTED)]

    def begin(self, title: str) -> str:
        """Begin a conversation; returns its id."""
        return str(self.gateway.call("POST", PATH, json={"metadata": {"title": title[:TITLE]}})["id"])

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

    def add(self, conversation: str, messages: Sequence[Json]) -> list[str]:
        """Append messages; returns their ids."""
        reply = self.gateway.call("POST", f"{PATH}/{conversation}/items", json={"items": list(messages)})
        return [item["id"] for item in reply["data"]]

    def replace(self, conversation: str, item: str, message: Json) -> None:
        """Put `message` in the place of an item."""
        self.gateway.call("POST", f"{PATH}/{conversation}/items/{item}", json=message)


def _entry(item: Json) -> Entry:
    return Entry(item["id"], item["metadata"].get("title") or item["id"], item["updated_at"])
