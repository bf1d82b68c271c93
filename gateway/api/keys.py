"""`/admin/v1/keys`: who may ask for how much. Admin keys only."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from gateway.access import Access
from gateway.api.identity import Operator
from praxis.keys import Keys, Quota

logger = logging.getLogger("praxis.gateway.keys")

Limit = Annotated[int | None, Field(ge=1, le=2**53 - 1)]
Words = list[Annotated[str, Field(min_length=1)]] | None


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Limits(_Body):
    """What a key may use, and how much of it."""

    models: Words = None
    knowledge: Words = None
    expires_at: float | None = None
    rpm: Limit = None
    tpm: Limit = None
    concurrency: Limit = None


class CreateKey(_Limits):
    """A new key; fields left out mean no limit. `expires_at` is in Unix seconds."""

    name: str
    admin: bool = False
    tenant: str | None = None


class UpdateKey(_Limits):
    """What is to change; fields left out stay, and null takes a limit away."""


class RotateKey(_Body):
    """`overlap` is for how many seconds the old secret still works."""

    overlap: Annotated[float, Field(ge=0)] = 0


class Key(BaseModel):
    """A key, without anything that could be used as one. Times are in Unix seconds; null is no limit."""

    object: Literal["key"] = "key"
    id: str
    name: str
    tenant: str
    role: str
    models: list[str] | None
    knowledge: list[str] | None
    rpm: int | None
    tpm: int | None
    concurrency: int | None
    created_at: float
    expires_at: float | None
    rotated_at: float | None
    revoked_at: float | None
    old_secret_until: float | None


class KeyWithSecret(Key):
    """`secret` is in this answer and nowhere else."""

    secret: str


class KeyList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Key]


class Revoked(BaseModel):
    id: str
    revoked: bool = True


def routes(keys: Keys, access: Access) -> APIRouter:
    """The router."""
    router = APIRouter(prefix="/admin/v1", tags=["admin"])

    def shown(key_id: str) -> Key:
        return Key.model_validate(keys.get(key_id))

    def with_secret(key_id: str, secret: str) -> KeyWithSecret:
        return KeyWithSecret.model_validate({**keys.get(key_id), "secret": secret})

    def changed(what: str, key_id: str, operator: Operator) -> None:
        logger.info(what, extra={"key": key_id, "by": operator.name})

    @router.get("/keys")
    async def list_keys(_: Operator) -> KeyList:
        """Every key with its limits, without anything that could be used as one."""
        listed = await asyncio.to_thread(keys.list)
        return KeyList(data=[Key.model_validate(each) for each in listed])

    @router.post("/keys")
    async def create_key(body: CreateKey, operator: Operator) -> KeyWithSecret:
        """Make a key. `secret` is in this answer and nowhere else."""
        quota = Quota(body.rpm, body.tpm, body.concurrency)
        rest = body.model_dump(include={"admin", "tenant", "models", "knowledge", "expires_at"})

        def create() -> KeyWithSecret:
            principal, secret = keys.create(body.name, quota=quota, by=operator.actor, **rest)
            return with_secret(principal.key_id, secret)

        made = await asyncio.to_thread(create)
        changed("key created", made.id, operator)
        return made

    @router.get("/keys/{name}")
    async def get_key(name: str, _: Operator) -> Key:
        """One key, by name or id."""
        return await asyncio.to_thread(shown, name)

    @router.patch("/keys/{name}")
    async def update_key(name: str, body: UpdateKey, operator: Operator) -> Key:
        """Change a key's limits; this gateway follows at once, others within two seconds."""
        changes = body.model_dump(exclude_unset=True)
        found = await asyncio.to_thread(lambda: shown(keys.update(name, changes, operator.actor)))
        await access.refresh()
        changed("key changed", found.id, operator)
        return found

    @router.post("/keys/{name}/rotate")
    async def rotate_key(name: str, operator: Operator, body: RotateKey | None = None) -> KeyWithSecret:
        """Give a key another secret, which is in this answer and nowhere else; everything else of the key stays."""
        overlap = body.overlap if body else 0.0
        rotated = await asyncio.to_thread(lambda: with_secret(*keys.rotate(name, overlap, operator.actor)))
        await access.refresh()
        changed("key rotated", rotated.id, operator)
        return rotated

    @router.delete("/keys/{name}")
    async def revoke_key(name: str, operator: Operator) -> Revoked:
        """Revoke a key by name or id; this gateway refuses it from now on, others within two seconds."""
        key_id = await asyncio.to_thread(keys.revoke, name, operator.actor)
        await access.refresh()
        changed("key revoked", key_id, operator)
        return Revoked(id=key_id)

    return router
