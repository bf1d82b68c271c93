"""Probes: ask every replica now and then whether it is there and what it serves."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

import httpx

from gateway.routing.backend import Backend
from gateway.routing.replica import Replica
from gateway.routing.table import Registry

logger = logging.getLogger("praxis.gateway.probes")

INTERVAL_SECONDS = 2.0
TIMEOUT_SECONDS = 5.0


class Probes:
    """One round of probes every `INTERVAL_SECONDS`, jittered so that many gateways do not ask in step.

    `learned` is called after each good answer, with the replica and its backend.
    """

    def __init__(
        self, registry: Registry, client: httpx.AsyncClient, learned: Callable[[Backend, Replica], None]
    ) -> None:
        self._registry = registry
        self._client = client
        self._learned = learned

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            await self.round()
            await asyncio.sleep(INTERVAL_SECONDS * random.uniform(0.8, 1.2))

    async def round(self) -> None:
        """Probe every replica once, all at the same time."""
        backends = self._registry.table.backends.values()
        await asyncio.gather(*(self.probe(each, replica) for each in backends for replica in each.replicas))

    async def probe(self, backend: Backend, replica: Replica) -> None:
        """Ask one replica for its health and its models, and note what it says."""
        was_up, changes = replica.answered and replica.reachable, replica.changes
        try:
            health = await self._get(backend, replica, backend.dialect.health_path)
            health.raise_for_status()
            await self._scrape(backend, replica)
            models = _models(await self._get(backend, replica, "/v1/models"))
        except httpx.ConnectError as error:
            replica.probe_missed(refused=True)
            self._note_down(backend, replica, was_up, error)
            return
        except (httpx.HTTPError, ValueError) as error:
            replica.probe_missed(refused=False)
            self._note_down(backend, replica, was_up, error)
            return
        replica.probe_answered()
        replica.listed(models, changes)
        if not was_up:
            logger.info("replica up", extra={"backend": backend.name, "replica": replica.url})
        self._learned(backend, replica)

    async def _scrape(self, backend: Backend, replica: Replica) -> None:
        """Its load, where it tells; an engine that does not say is no worse for it."""
        if backend.dialect.load_path is None:
            return
        try:
            response = await self._get(backend, replica, backend.dialect.load_path)
        except httpx.HTTPError:
            return
        load = backend.dialect.load(response.text) if response.status_code == 200 else None
        if load is not None:
            replica.scraped(load)

    async def _get(self, backend: Backend, replica: Replica, path: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {backend.api_key}"} if backend.api_key else {}
        return await self._client.get(replica.url + path, headers=headers, timeout=TIMEOUT_SECONDS)

    def _note_down(self, backend: Backend, replica: Replica, was_up: bool, error: Exception) -> None:
        if was_up and not replica.reachable:
            reason = str(error) or type(error).__name__
            logger.warning(
                "replica down", extra={"backend": backend.name, "replica": replica.url, "reason": reason}
            )


def _models(response: httpx.Response) -> dict[str, int | None]:
    """What an engine's /v1/models lists, with the context length of each where it says so."""
    if response.status_code != 200:
        return {}
    cards = response.json().get("data")
    if not isinstance(cards, list):
        return {}
    return {
        card["id"]: card.get("max_model_len")
        for card in cards
        if isinstance(card, dict) and isinstance(card.get("id"), str)
    }
