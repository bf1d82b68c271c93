"""The Files and Vector Stores API of a running gateway, as `praxis knowledge` speaks it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from praxis.errors import InvalidRequest, NotFound, NotPermitted, PraxisError, UpstreamError

POLL_SECONDS = 0.5
"""How often something under way is looked at."""


def called(store: Mapping[str, Any]) -> str:
    """The name of a knowledge base; of a shared one with its tenant's before it."""
    shared = store["shared"]
    return f"{shared['tenant']}/{store['name']}" if shared else str(store["name"])


class Gateway:
    """The Files and Vector Stores API of the gateway at `url`, with the key of `PRAXIS_API_KEY`."""

    def __init__(self, url: str) -> None:
        import httpx

        key = os.environ.get("PRAXIS_API_KEY")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._url = url
        self._own: set[str] = set()
        self._client = httpx.Client(base_url=url.rstrip("/") + "/v1", headers=headers, timeout=300)

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """The JSON reply. Raises the error that the gateway answers with, or UpstreamError where it does not."""
        import httpx

        try:
            response = self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise UpstreamError(
                f"The gateway at `{self._url}` cannot be reached ({error}); is `praxis up` running?"
            ) from None
        if response.is_success:
            return response.json()
        if response.status_code == 401 and "authorization" not in self._client.headers:
            raise InvalidRequest("Set `PRAXIS_API_KEY` to a key; `praxis keys create NAME` makes one.")
        try:
            message = response.json()["error"]["message"]
        except (ValueError, KeyError, TypeError):
            message = f"The gateway at `{self._url}` answered {response.status_code}; see its log."
        raise PraxisError(message)

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """Every entry of a list."""
        after: dict[str, str] = {}
        while True:
            page = self.ask("GET", path, params={"limit": "100", "order": "asc"} | after)
            yield from page["data"]
            if not page["has_more"] or not page["data"]:
                return
            after = {"after": page["data"][-1]["id"]}

    def find(self, name: str, *, shared: bool = True) -> dict[str, Any] | None:
        """The newest knowledge base of one's own called, or identified as, `name`; else a shared one, by its id or
        TENANT/NAME: what others call theirs must not take the place of one's own."""
        stores = list(self.pages("/vector_stores"))[::-1]
        own = (each for each in stores if not each["shared"] and name in (each["name"], each["id"]))
        lent = (each for each in stores if shared and each["shared"] and name in (called(each), each["id"]))
        return next(own, None) or next(lent, None)

    def store(self, name: str, *, whole: bool = False) -> str:
        """The id of a knowledge base. Raises NotFound, and NotPermitted where the `whole` of one is to go that is only
        shared: its files would be gone before the gateway could refuse."""
        if found := self.find(name):
            if whole and found["shared"]:
                raise NotPermitted(f"`{name}` is shared with you; only its owner deletes it.")
            return str(found["id"])
        raise NotFound(f"There is no knowledge base `{name}`; `praxis knowledge create {name}` makes it.")

    def files(self, store_id: str) -> Iterator[dict[str, Any]]:
        """The files of a knowledge base: id, filename, status."""
        return self.pages(f"/vector_stores/{store_id}/files")

    def remove(self, store_id: str, file_id: str) -> None:
        """Delete a file, or where it is another tenant's take it out of the knowledge base."""
        self.ask("DELETE", f"/vector_stores/{store_id}/files/{file_id}")
        self._own = self._own or {each["id"] for each in self.pages("/files")}
        if file_id in self._own:
            self.ask("DELETE", f"/files/{file_id}")

    def upload(self, store_id: str, path: Path, encoding: str | None) -> str:
        """Send a file and put it into a knowledge base; its id."""
        with path.open("rb") as content:
            file = self.ask(
                "POST", "/files", data={"purpose": "assistants"}, files={"file": (path.name, content)}
            )
        body = {"file_id": file["id"]} | ({"attributes": {"encoding": encoding}} if encoding else {})
        self.ask("POST", f"/vector_stores/{store_id}/files", json=body)
        return str(file["id"])

    def settled(self, store_id: str, file_id: str) -> dict[str, Any]:
        """A file in a knowledge base, once it is no longer in progress."""
        while True:
            entry: dict[str, Any] = self.ask("GET", f"/vector_stores/{store_id}/files/{file_id}")
            if entry["status"] != "in_progress":
                return entry
            time.sleep(POLL_SECONDS)
