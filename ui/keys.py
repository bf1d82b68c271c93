"""Access keys and what was used with them, as an admin key sees and changes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ui.client import Gateway, Json, taken

PATH = "/admin/v1/keys"
NAME = 128  # characters


@dataclass(frozen=True, slots=True)
class Key:
    """A key, without anything that could be used as one. Times are Unix seconds; None is no limit."""

    id: str
    name: str
    tenant: str
    role: str
    models: Sequence[str] | None
    knowledge: Sequence[str] | None
    rpm: int | None
    tpm: int | None
    concurrency: int | None
    created_at: float
    expires_at: float | None
    revoked_at: float | None

    def state(self, now: float) -> str:
        """active, expired or revoked at this moment (Unix seconds)."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


@dataclass(frozen=True, slots=True)
class Used:
    """What a key (an id) asked of a model, by the name it asked for, and what answered."""

    key: str
    key_name: str
    model: str
    requests: int
    errors: int
    prompt_tokens: int
    completion_tokens: int

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key to be made; None is no limit."""

    name: str
    admin: bool = False
    models: Sequence[str] | None = None
    expires_at: float | None = None
    rpm: int | None = None
    tpm: int | None = None


@dataclass(frozen=True, slots=True)
class Keys:
    """The gateway's keys, for an admin key. Every call raises GatewayError."""

    gateway: Gateway

    def all(self) -> list[Key]:
        """Every key, the oldest first."""
        return [taken(Key, item) for item in self.gateway.call("GET", PATH)["data"]]

    def usage(self, since: str, until: str = "") -> list[Used]:
        """What was used from `since` to before `until` (the API's points of time), by key and model."""
        asked = {"by": "key,model", "since": since} | ({"until": until} if until else {})
        items = self.gateway.call("GET", "/admin/v1/usage", params=asked)["data"]
        return [taken(Used, item, key=item["key_id"], key_name=item["key"]) for item in items]

    def create(self, wanted: Wanted) -> str:
        """Make a key; its secret, which is never told again."""
        body: Json = {
            "name": wanted.name,
            "admin": wanted.admin,
            "models": wanted.models,
            "expires_at": wanted.expires_at,
            "rpm": wanted.rpm,
            "tpm": wanted.tpm,
        }
        return str(self.gateway.call("POST", PATH, json=body)["secret"])

    def rotate(self, key: str, overlap: float) -> str:
        """Give a key (by id) another secret, which is never told again; the old one works for `overlap` seconds more."""
        return str(self.gateway.call("POST", f"{PATH}/{key}/rotate", json={"overlap": overlap})["secret"])

    def revoke(self, key: str) -> None:
        """Have a key (by id) refused from now on."""
        self.gateway.call("DELETE", f"{PATH}/{key}")
