"""Who asks. Keys are held in memory by their hashes and refreshed from the state database every second, so that a
revoked key stops within two seconds, and a database that is away for a while keeps nobody out."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

import sqlalchemy as sa

from gateway.proxy.head import Head
from praxis.errors import NotAuthenticated, Overloaded
from praxis.keys import OPERATOR, Keys, Principal, hash_secret

logger = logging.getLogger("praxis.gateway.access")

REFRESH_SECONDS = 1.0
SAY_SECONDS = 60.0

INTERNAL = "rag"


"""The name of the document process's own principal."""


class Access:
    """Turns a request's Authorization header into a principal.

    `rag_secret` admits the document process, which acts for the tenant that it names and may use every model.
    With `required` False everybody is the operator, which the gateway allows on loopback only.
    """

    def __init__(self, keys: Keys, *, required: bool, rag_secret: str | None) -> None:
        self._keys = keys
        self.configure(required=required, rag_secret=rag_secret)
        self._live: Mapping[str, Principal] = {}
        self._refreshed = 0.0
        self._refreshing = asyncio.Lock()
        self._away = False
        self._said = -SAY_SECONDS

    def configure(self, *, required: bool, rag_secret: str | None) -> None:
        """Follow a changed configuration."""
        self._required = required
        self._rag_secret = rag_secret

    async def run(self) -> None:
        """Keep the keys fresh until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Read the keys again; on failure those known stay."""
        began = time.monotonic()
        try:
            self._live = await asyncio.to_thread(self._keys.live)
            self._away = False
        except sa.exc.SQLAlchemyError as error:
            self._away = True
            if began - self._said >= SAY_SECONDS:
                self._said = began
                logger.error(
                    "state database away: known keys go on working", extra={"reason": type(error).__name__}
                )
        self._refreshed = began

    def known(self, head: Head) -> Principal | None:
        """Who sent this head, where memory tells; None when only `principal` can, be it by refusing."""
        found = self._live.get(head.digest)
        if found is not None and found.expires_at is not None and found.expires_at <= time.time():
            return None
        return found

    async def principal(self, headers: Iterable[tuple[bytes, bytes]]) -> Principal:
        """Who sent these headers. Raises NotAuthenticated, or Overloaded while nobody can know."""
        values = [value for name, value in headers if name == b"authorization"]
        if not values and not self._required:
            return Principal("key_none", "local", OPERATOR, "admin")
        if len(values) != 1:
            raise NotAuthenticated(
                "Send your key once, as `Authorization: Bearer sk-praxis-…`; `praxis keys create NAME` makes one.",
                code="missing_api_key",
            )
        scheme, _, secret = values[0].decode("latin-1").partition(" ")
        if scheme.lower() == "bearer":
            if self._rag_secret and hmac.compare_digest(secret.encode(), self._rag_secret.encode()):
                return _acting(headers)
            found = await self._find(hash_secret(secret.strip()))
            if found is not None:
                return found
        if not self._required:
            return Principal("key_none", "local", OPERATOR, "admin")
        raise NotAuthenticated(
            "This key is unknown, revoked or expired; ask the operator for another (`praxis keys create NAME`).",
            code="invalid_api_key",
        )

    async def _find(self, digest: str) -> Principal | None:
        principal = self._live.get(digest)
        if principal is None:
            # A key made a moment ago is not in memory yet: only a read that began after the question can tell.
            # All who wait share it, so strangers cause one read a tenth of a second, no more.
            asked = time.monotonic()
            async with self._refreshing:
                # While the database is away, the refresh in the background looks for it, and nobody waits here.
                if self._refreshed < asked and not self._away:
                    await asyncio.sleep(max(0.0, self._refreshed + REFRESH_SECONDS / 10 - time.monotonic()))
                    await self.refresh()
            principal = self._live.get(digest)
            if principal is None and self._away:
                raise Overloaded(
                    "The state database is away, and this gateway does not know this key yet; ask again shortly.",
                    retry_after=2,
                )
        if principal is None or (principal.expires_at is not None and principal.expires_at <= time.time()):
            return None
        return principal


def _acting(headers: Iterable[tuple[bytes, bytes]]) -> Principal:
    """The document process, acting for the tenant and key that it names."""
    named = {
        name: unquote(value.decode("latin-1")) for name, value in headers if name.startswith(b"x-praxis-")
    }
    return Principal(
        named.get(b"x-praxis-key", "key_rag"),
        INTERNAL,
        named.get(b"x-praxis-tenant", OPERATOR),
        "internal",
        asked=named.get(b"x-praxis-asked", ""),
    )
