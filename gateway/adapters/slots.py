"""Engines with fewer slots than there are adapters: who gets one, and who leaves it, with no request under way to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from gateway.adapters.desired import Revision
from gateway.adapters.fleet import Fleet, residents
from gateway.adapters.peers import Peers, Place
from gateway.adapters.traffic import Traffic
from gateway.routing.backend import Backend

CLOSE_SECONDS = 2.0
"""How long a slot is waited for whose revision is in use after all, before another is looked for."""

LOOK_SECONDS = 0.1


class Slots:
    """The slots of this gateway's engines, which all gateways use: so a revision leaves one only when all say that they send
    nothing there any more."""

    def __init__(self, fleet: Fleet, traffic: Traffic, peers: Peers) -> None:
        self._fleet = fleet
        self._traffic = traffic
        self._peers = peers

    async def tell(self, seen: str) -> None:
        """Tell the other gateways how things are here; `seen` is the state that this one goes by."""
        await self._peers.tell(seen, self._traffic.busy, self._traffic.used)

    async def follow(self, backends: Iterable[Backend]) -> None:
        """See which places other gateways are closing."""
        others = await asyncio.to_thread(self._peers.others)
        self._peers.shut = frozenset(place for each in others for place in each.closing)
        self.heed(backends)

    def heed(self, backends: Iterable[Backend]) -> None:
        """Send nothing to a place that is about to be given to another revision, though its engine still lists it."""
        closed = self._peers.closing | self._peers.shut
        if not closed:
            return
        for replica in (each for backend in backends for each in backend.replicas):
            for place in closed:
                if replica.url == place.url and place.upstream in replica.models:
                    replica.unloaded(place.upstream)

    async def take(self, backend: Backend, revision: Revision, slots: int, seen: str) -> bool:
        """Whether a replica of `backend` holds `revision` by now; another may have had to leave. The caller has the lease.

        Raises PraxisError when the engine refuses it.
        """
        await self._fleet.look(backend)
        if any(each.reachable and revision.upstream in residents(each) for each in backend.replicas):
            return True
        found = await self._fleet.place(backend, slots)
        if found is None:
            return False
        replica, leaving = found
        if leaving is None:
            await self._fleet.give(backend, replica, revision)
            return True
        self._peers.closing = frozenset({Place(leaving, replica.url)})
        try:
            self.heed([backend])
            if not await self._closed(leaving, seen):
                return False
            await self._fleet.forget(backend, replica, leaving)
            await self._fleet.give(backend, replica, revision)
            return True
        finally:
            self._peers.closing = frozenset()
            await self.tell(seen)

    async def _closed(self, leaving: str, seen: str) -> bool:
        """Whether every gateway has stopped to send requests to the place that is being closed, and none is in flight."""
        await self.tell(seen)
        until = asyncio.get_running_loop().time() + CLOSE_SECONDS
        while not self._traffic.flying(leaving):
            others = await asyncio.to_thread(self._peers.others)
            if all(each.shut >= self._peers.closing and leaving not in each.busy for each in others):
                return not self._traffic.flying(leaving)
            if asyncio.get_running_loop().time() >= until:
                break
            await asyncio.sleep(LOOK_SECONDS)
        return False
