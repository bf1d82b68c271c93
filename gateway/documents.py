"""The document process as the gateway sees it: a backend for grounded answers, and what it says of its readiness."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from gateway.backends.rag import Rag
from gateway.proxy.head import Headers
from gateway.routing.backend import Backend
from gateway.routing.replica import Replica
from gateway.routing.table import Target
from praxis.config import Config, Timeouts
from praxis.errors import ConfigError
from praxis.keys import Principal

INTERVAL_SECONDS = 1.0
RETRIEVAL_SECONDS = 30.0
SENTENCE_SECONDS = 120.0


class Documents:
    """Reaches the document process at `rag.url` with the secret that both share."""

    def __init__(self, config: Config, client: httpx.AsyncClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop
        self.assistants: Mapping[str, str | None] = {}
        self._replica = Replica(config.rag.url, loop)
        self.apply(config)

    def apply(self, config: Config) -> None:
        """Follow a changed configuration."""
        self.url = config.rag.url
        self._config = config
        try:
            self.secret: str | None = config.rag.secret()
        except ConfigError:
            self.secret = None
        if self._replica.url != self.url:
            self._replica = Replica(self.url, self._loop)
        self._backend = Backend("rag", Rag(), [self._replica])

    @property
    def ready(self) -> bool:
        return self._replica.answered and self._replica.reachable

    def describe(self) -> dict[str, Any]:
        """How it is, for the operator: `off` where nothing needs it and nobody answers. Of each assistant the reason why
        it cannot answer, or None."""
        needed = self._config.assistants
        state = "up" if self.ready else "down" if needed else "off"
        known = self.assistants if self.ready else {}
        reasons = {name: known.get(name, "not known to rag yet") for name in needed}
        return {"url": self.url, "state": state, "assistants": reasons}

    def target(self, route_name: str, base: str | None) -> Target:
        """Where a grounded request goes. Each of its waits may be as long as the model's own, and what the document
        process adds to it: a search before the first event, a sentence held back until it is checked."""
        model = self._config.models.get(base or "")
        timeouts = model.timeouts if model else Timeouts()
        added = {
            "first_event": timeouts.first_event + RETRIEVAL_SECONDS,
            "idle": timeouts.idle + SENTENCE_SECONDS,
        }
        # Which fields the file wrote must stay as it is: it decides whether `first_event` bounds a plain reply.
        patient = Timeouts.model_construct(set(timeouts.model_fields_set), **timeouts.model_dump() | added)
        return Target(route_name, self._backend, route_name, {}, patient)

    def headers(self, principal: Principal, asked: str = "") -> Headers:
        """The secret, and who asks, for which model. Names may be in any script, so they travel percent-encoded."""
        return [
            (b"authorization", b"Bearer " + (self.secret or "").encode("latin-1")),
            (b"x-praxis-tenant", quote(principal.tenant, safe="").encode()),
            (b"x-praxis-key", quote(principal.key_id, safe="").encode()),
            (b"x-praxis-role", principal.role.encode()),
            (b"x-praxis-asked", quote(asked, safe="").encode()),
            (b"x-praxis-knowledge", _listed(principal.knowledge)),
            (b"x-praxis-models", _listed(principal.models)),
        ]

    async def run(self) -> None:
        """Ask now and then whether the process is ready, until cancelled."""
        while True:
            await self._probe()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _probe(self) -> None:
        try:
            response = await self._client.get(f"{self.url}/readyz", timeout=5)
            body: Any = response.json()
        except httpx.ConnectError:
            self._replica.probe_missed(refused=True)
            return
        except (httpx.HTTPError, ValueError):
            self._replica.probe_missed(refused=False)
            return
        self._replica.reachable = True
        if response.status_code == 200:
            self._replica.probe_answered()
        assistants = body.get("assistants") if isinstance(body, dict) else None
        self.assistants = assistants if isinstance(assistants, dict) else {}


def _listed(names: frozenset[str] | None) -> bytes:
    return b"*" if names is None else ",".join(map(quote, sorted(names))).encode()
