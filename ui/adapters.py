"""Adapters with their revisions, as an admin key sees and changes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import httpx

from ui.client import Gateway, Json, taken

PATH = "/admin/v1/adapters"
# A change returns when every engine has followed: it may load weights, and waits for requests in flight.
CHANGE_TIMEOUT = httpx.Timeout(300.0, connect=5.0)


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean and the ends of its interval, where they are known."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Score:
    """What a revision reached on a data set: of `rows` asked so many `answered`. `at` is Unix time."""

    dataset: str
    rows: int
    answered: int
    metrics: Mapping[str, Figure]
    at: float
    who: str


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision that engines hold. `state` is current, canary or staged, `share` that of the name's requests (0 to 1);
    `resident` tells of each replica's URL whether it is loaded there. Times are mean seconds. `scores` come latest first."""

    revision: str
    state: str
    share: float
    backend: str | None
    source: str
    created_by: str
    created_at: float
    resident: Mapping[str, bool]
    in_flight: int
    requests: int
    error_rate: float | None
    prompt_tokens: int
    completion_tokens: int
    seconds: float | None
    first_seconds: float | None
    scores: tuple[Score, ...]


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter; `revision` is what its name answers with, None while none was promoted. `canary` and `by` are what a
    share of the requests goes to, and how it is split: by request or by key."""

    name: str
    base: str
    revision: str | None
    canary: str | None
    by: str
    revisions: tuple[Revision, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a name: who made it, when (Unix time), why and from which address."""

    action: str
    revision: str
    before: str | None
    after: str | None
    share: float | None
    who: str
    at: float
    why: str
    origin: str


@dataclass(frozen=True, slots=True)
class Adapters:
    """The gateway's adapters, for an admin key. Every call raises GatewayError; those that change something return when
    the change is in force everywhere, and keep `why` in the history."""

    gateway: Gateway

    def all(self) -> list[Adapter]:
        return [_adapter(item) for item in self.gateway.call("GET", PATH)["data"]]

    def history(self, name: str) -> list[Change]:
        """Every change of the name, the latest first."""
        items = self.gateway.call("GET", _path(name, "history"))["data"]
        return [taken(Change, item) for item in reversed(items)]

    def promote(self, name: str, revision: str, why: str) -> None:
        """Have the name answer with a revision."""
        self._change("POST", _path(name, "promote"), json={"revision": revision, "why": why})

    def canary(self, name: str, revision: str, share: float, by: str, why: str) -> None:
        """Have a revision answer a share (0 to 1) of the name's requests."""
        body = {"revision": revision, "share": share, "by": by, "why": why}
        self._change("PUT", _path(name, "canary"), json=body)

    def roll_back(self, name: str, why: str) -> None:
        """End the canary where there is one, else go back to the revision before."""
        self._change("POST", _path(name, "rollback"), json={"why": why})

    def unload(self, name: str, why: str, revision: str = "") -> None:
        """Take a revision out of every engine, or the name with all that it has."""
        path = _path(name, "revisions", revision) if revision else _path(name)
        self._change("DELETE", path, params={"why": why})

    def _change(self, method: str, path: str, **asked: Json) -> None:
        self.gateway.call(method, path, timeout=CHANGE_TIMEOUT, **asked)


def _path(*parts: str) -> str:
    return "/".join((PATH, *(quote(part, safe="") for part in parts)))


def _adapter(item: Json) -> Adapter:
    canary = item["canary"] or {}
    return taken(
        Adapter,
        item,
        canary=canary.get("revision"),
        by=canary.get("by", "request"),
        revisions=tuple(_revision(each) for each in item["revisions"]),
    )


def _revision(item: Json) -> Revision:
    return taken(
        Revision,
        item,
        resident={each["url"]: each["loaded"] for each in item["replicas"]},
        seconds=item["mean_seconds"],
        first_seconds=item["mean_first_event_seconds"],
        scores=tuple(_score(each) for each in item["scores"]),
    )


def _score(item: Json) -> Score:
    return taken(Score, item, metrics={name: Figure(**each) for name, each in item["metrics"].items()})
