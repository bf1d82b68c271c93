"""The engines and what they hold: which revisions each replica lacks, which it should forget, and making it so."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from gateway.adapters.choice import CONFIG
from gateway.adapters.desired import Revision, State
from gateway.adapters.engine import Engines
from gateway.adapters.lora import WEIGHTS
from gateway.adapters.peers import Peer, Peers
from gateway.adapters.source import revision_of
from gateway.adapters.traffic import Traffic
from gateway.routing.backend import Backend
from gateway.routing.probes import Probes
from gateway.routing.replica import Replica
from praxis.errors import Conflict, Overloaded, PraxisError

logger = logging.getLogger("praxis.gateway.adapters")

RETRY_SECONDS = 1.0
RETRY_MOST = 60.0
"""How long a refused revision is waited with before the same replica is asked again: each refusal doubles it."""

STRANGER_SECONDS = 300.0
"""How long a revision that the state database does not know is left in an engine: it may be another house's."""

_REVISION = re.compile(r".+@[0-9a-f]{12}")

_Stamp = tuple[tuple[int, int, int], ...]


class Fleet:
    """What replicas hold, and how that is changed. Whoever changes it holds the lease, so one change comes after the
    other: an engine pauses its other requests for a load, and so never all of them at once."""

    def __init__(self, engines: Engines, probes: Probes, traffic: Traffic, peers: Peers) -> None:
        self._engines = engines
        self._probes = probes
        self._traffic = traffic
        self._peers = peers
        self._strangers: dict[tuple[str, str], float] = {}
        self._failed: dict[tuple[str, str], tuple[float, float]] = {}
        self._known: dict[str, tuple[_Stamp, str]] = {}

    # What differs

    def missing(
        self, backend: Backend, replica: Replica, wanted: Sequence[Revision], slots: int | None
    ) -> Sequence[Revision]:
        """What `replica` should get of the revisions `wanted` on its backend: all, or with `slots` what finds a free one,
        first what no other replica has and what was asked for last."""
        now = asyncio.get_running_loop().time()
        lacking = [
            each
            for each in wanted
            if each.upstream not in replica.models
            and self._failed.get((replica.url, each.upstream), (0.0, 0.0))[0] <= now
        ]
        if slots is None:
            return lacking
        used = self._traffic.used
        lacking.sort(
            key=lambda each: (
                _copies(backend, each.upstream),
                -max(used.get(each.upstream, 0.0), each.created_at),
            )
        )
        return lacking[: max(0, slots - len(residents(replica)))]

    def stale(self, replica: Replica, state: State) -> Sequence[str]:
        """The revisions in `replica` that nobody wants any more, or that nobody here ever knew."""
        held = {each.upstream for each in state.revisions if each.held}
        known = {each.upstream for each in state.revisions}
        return [
            name
            for name in residents(replica)
            if name not in held and (name in known or self._unclaimed(replica, name))
        ]

    def _unclaimed(self, replica: Replica, name: str) -> bool:
        now = asyncio.get_running_loop().time()
        since = self._strangers.setdefault((replica.url, name), now)
        if since > now - STRANGER_SECONDS:
            return False
        del self._strangers[replica.url, name]
        return True

    # Making it so

    async def look(self, backend: Backend) -> None:
        """See afresh what every replica of `backend` holds."""
        await asyncio.gather(*(self._probes.probe(backend, each) for each in backend.replicas))

    async def spread(self, backend: Backend, revision: Revision) -> None:
        """Load `revision` into every replica that can be reached, one after the other.

        Raises InvalidRequest with the first refusal, and then leaves no replica changed; Overloaded when none is up.
        """
        await self.must_be_unchanged(revision)
        await self.look(backend)
        loaded: list[Replica] = []
        try:
            for replica in backend.replicas:
                if replica.reachable and revision.upstream not in replica.models:
                    await self._engines.load(backend, replica, revision.upstream, revision.source)
                    loaded.append(replica)
        except PraxisError:
            for replica in loaded:
                await self.forget(backend, replica, revision.upstream)
            raise
        if not _copies(backend, revision.upstream):
            raise Overloaded(
                f"No replica of backend `{backend.name}` is up; start it, then try again.", retry_after=5
            )

    async def serve(self, backend: Backend, revision: Revision) -> None:
        """See that `backend` serves the merged `revision`, and have each of its replicas answer a first request.

        Raises Overloaded while none serves it, UpstreamError when one does not answer.
        """
        await self.look(backend)
        serving = [each for each in backend.replicas if each.reachable and revision.upstream in each.models]
        if not serving:
            raise Overloaded(
                f"No replica of backend `{backend.name}` serves `{revision.upstream}` yet; start its engine on the merged "
                f"folder under that name (vLLM: `--served-model-name`, LightLLM: `--model_name`), then try again.",
                retry_after=5,
            )
        await asyncio.gather(*(self._engines.warm(backend, each, revision.upstream) for each in serving))

    async def give(self, backend: Backend, replica: Replica, revision: Revision) -> None:
        """Load `revision` into `replica`. Raises PraxisError, and remembers that for a while."""
        try:
            await self.must_be_unchanged(revision)
            await self._engines.load(backend, replica, revision.upstream, revision.source)
        except PraxisError as error:
            where = (replica.url, revision.upstream)
            wait = min(RETRY_MOST, self._failed.get(where, (0.0, RETRY_SECONDS / 2))[1] * 2)
            self._failed[where] = (asyncio.get_running_loop().time() + wait, wait)
            logger.error("adapter not loaded", extra={"adapter": revision.upstream, "reason": error.message})
            raise
        self._failed.pop((replica.url, revision.upstream), None)

    async def forget(self, backend: Backend, replica: Replica, upstream: str) -> None:
        """Unload as far as the replica lets us; reconciling tries again when it is back."""
        try:
            await self._engines.unload(backend, replica, upstream)
        except PraxisError as error:
            logger.warning("unload failed", extra={"adapter": upstream, "reason": error.message})

    async def must_be_unchanged(self, revision: Revision) -> None:
        """Raise Conflict when the folder that `revision` came from holds something else by now: an engine that was given
        it would answer with other weights than the name says."""
        path = Path(revision.source)
        stamp = await asyncio.to_thread(_stamp, path)
        if self._known.get(revision.source) == (stamp, revision.revision):
            return
        try:
            found = await asyncio.to_thread(revision_of, path)
        except OSError as error:
            raise Conflict(
                f"`{revision.upstream}` cannot be loaded: `{path}` cannot be read ({error.strerror}); put its files back.",
                param="revision",
            ) from None
        if found != revision.revision:
            raise Conflict(
                f"`{path}` holds revision {found} now, and `{revision.upstream}` is lost; put its files back, or give "
                "each revision a folder of its own.",
                param="revision",
            )
        self._known[revision.source] = (stamp, found)

    # Who uses what

    async def idle(self, upstreams: Collection[str], seen: str) -> set[str]:
        """Those of `upstreams` that no gateway has in flight or might still send requests to: every gateway that lives goes
        by the state `seen`."""
        mine = {each for each in upstreams if not self._traffic.flying(each)}
        others = await asyncio.to_thread(self._peers.others) if mine else ()
        if any(each.seen != seen for each in others):
            return set()
        return {each for each in mine if not any(each in other.busy for other in others)}

    async def agreed(self, seen: str) -> bool:
        """Whether every gateway that lives goes by the state `seen`."""
        return all(each.seen == seen for each in await asyncio.to_thread(self._peers.others))

    async def place(self, backend: Backend, slots: int) -> tuple[Replica, str | None] | None:
        """Where a revision could be loaded: a replica, and which revision has to leave it for that, if any; None while all
        are in use. The one that was not asked for the longest leaves."""
        up = [each for each in backend.replicas if each.reachable]
        free = [each for each in up if len(residents(each)) < slots]
        if free:
            return min(free, key=lambda each: (len(residents(each)), each.in_flight)), None
        others = await asyncio.to_thread(self._peers.others)
        idle = [
            (self._last(name, others), replica, name)
            for replica in up
            for name in residents(replica)
            if not self._traffic.flying(name) and not any(name in other.busy for other in others)
        ]
        if not idle:
            return None
        _, replica, name = min(idle, key=lambda each: each[0])
        return replica, name

    def _last(self, upstream: str, others: Sequence[Peer]) -> float:
        uses: Sequence[Mapping[str, float]] = [self._traffic.used, *(each.used for each in others)]
        return max(each.get(upstream, 0.0) for each in uses)


def residents(replica: Replica) -> Sequence[str]:
    """The revisions that `replica` holds beside its base, by all that is known. Of an adapter an engine tells no context
    length, of a merged model it does."""
    return [name for name, length in replica.models.items() if length is None and _REVISION.fullmatch(name)]


def _copies(backend: Backend, upstream: str) -> int:
    return sum(each.reachable and upstream in each.models for each in backend.replicas)


def _stamp(path: Path) -> _Stamp:
    stamps = []
    for name in (CONFIG, WEIGHTS):
        try:
            stat = (path / name).stat()
        except OSError:
            stamps.append((0, 0, 0))
        else:
            stamps.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(stamps)
