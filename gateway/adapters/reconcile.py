"""Makes every replica hold what it should: after a change, after an engine came back without it, after one joined."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gateway.adapters.desired import (
    Action,
    Author,
    Desired,
    DesiredAdapters,
    Revision,
    State,
)
from gateway.adapters.filed import take_over
from gateway.adapters.fit import fit_of
from gateway.adapters.fleet import Fleet
from gateway.adapters.lease import Lease
from gateway.adapters.peers import Peers
from gateway.adapters.slots import Slots
from gateway.adapters.source import Source, read, read_merged
from gateway.adapters.tally import Tally
from gateway.adapters.traffic import Traffic, too_cold
from gateway.routing.backend import Backend
from gateway.routing.replica import Replica
from gateway.routing.table import LiveAdapter, Registry, Target
from praxis.config import Config
from praxis.errors import InvalidRequest, Overloaded, PraxisError, UpstreamError

logger = logging.getLogger("praxis.gateway.adapters")

PATIENCE_SECONDS = 120.0
"""How long an operator's change waits for another one to end."""

IMPORT_SECONDS = 5.0
"""How long a reload waits for what models.yaml says of adapters to be taken over."""

AGREE_SECONDS = 2.0
"""How long a change waits for all gateways to go by it; one that takes longer is busy, hanging or dead."""

COUNT_SECONDS = 2.0
LOOK_SECONDS = 0.1


class Adapters:
    """The adapters of this gateway: wanted by the state database, routed by the table, held by the engines.

    Many gateways run this at once; whichever has the `lease` changes engines, after it has looked afresh.
    """

    def __init__(
        self,
        registry: Registry,
        desired: DesiredAdapters,
        config: Callable[[], Config],
        *,
        fleet: Fleet,
        traffic: Traffic,
        lease: Lease,
        peers: Peers,
        tally: Tally,
        round_of_probes: Callable[[], Awaitable[None]],
    ) -> None:
        self.registry = registry
        self.desired = desired
        self.config = config
        self.fleet = fleet
        self.slots = Slots(fleet, traffic, peers)
        self.traffic = traffic
        self.tally = tally
        self.state = State()
        self._lease = lease
        self._peers = peers
        self._round = round_of_probes
        self._seen = ""
        self._counted = 0.0
        self._import_due = True
        self.awaited: set[str] = set()
        self._refreshing = asyncio.Lock()
        self._reconciling: set[str] = set()
        self._warming: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # What should be

    async def refresh(self) -> None:
        """Read what should be live, rebuild the table of names, and take over what models.yaml says."""
        # One after the other, so that what was read earlier never replaces what was read later.
        async with self._refreshing:
            self._apply(await asyncio.to_thread(self.desired.read))
        # It goes on in the background where another gateway is at it, or an engine takes its time.
        await asyncio.wait({self._spawn(self._import())}, timeout=IMPORT_SECONDS)

    async def follow(self) -> None:
        """What is to be done twice a second: see what other gateways have changed, and tell them how things are here."""
        await self.poll()
        if self._import_due:
            self._spawn(self._import())
        if any(each.adapter_slots is not None for each in self.config().backends.values()):
            await self.slots.follow(self.registry.table.backends.values())
        await self.slots.tell(self._seen)
        if time.monotonic() - self._counted >= COUNT_SECONDS:
            self._counted = time.monotonic()
            await self._count()

    async def poll(self) -> None:
        """Go by what the state database says now."""
        async with self._refreshing:
            state = await asyncio.to_thread(self.desired.read)
            if state != self.state:
                # See who holds what before any request is sent there.
                await self._round()
                self._apply(state)

    async def aclose(self) -> None:
        """Write what was counted, and tell the others that nobody needs to wait for this gateway."""
        for task in self._tasks:
            task.cancel()
        try:
            async with asyncio.timeout(5):
                await self._count()
                await asyncio.to_thread(self._peers.leave)
        except (TimeoutError, sa.exc.SQLAlchemyError) as error:
            logger.warning("adapters' counts not written", extra={"reason": type(error).__name__})

    def _apply(self, state: State) -> None:
        config = self.config()
        for gone in {each.upstream for each in self.state.revisions} - {
            each.upstream for each in state.revisions if each.held
        }:
            self.traffic.forget(gone)
        self.state = state
        self._seen = blake2b(repr(state).encode(), digest_size=16).hexdigest()
        adapters = {each.name: each for each in state.adapters}
        revisions: dict[str, dict[str, str]] = {}
        merged: dict[str, dict[str, str]] = {}
        for each in state.revisions:
            if each.held:
                revisions.setdefault(each.name, {})[each.revision] = each.base
                if each.backend is not None:
                    merged.setdefault(each.name, {})[each.revision] = each.backend
        live = []
        for name, bases in revisions.items():
            row = adapters.get(name)
            if row is None:
                live.append(LiveAdapter(name, bases, None, merged=merged.get(name, {})))
            elif row.filed is None or name in config.adapters:
                live.append(
                    LiveAdapter(
                        name, bases, row.revision, row.canary, row.share, row.split_by, merged.get(name, {})
                    )
                )
        self.registry.apply(config, live)

    async def _count(self) -> None:
        counted = self.traffic.counted()
        if counted:
            try:
                await asyncio.to_thread(self.tally.add, counted)
            except sa.exc.SQLAlchemyError:
                self.traffic.uncounted(counted)
                raise

    async def _import(self) -> None:
        """Bring into the state database what models.yaml names, and take out what it names no more."""
        self._import_due = False
        if not self.config().adapters and not any(each.filed for each in self.state.adapters):
            return
        try:
            async with self.change():
                await take_over(self, self.config())
        except (Overloaded, sa.exc.SQLAlchemyError):
            self._import_due = True

    # What changes are made of

    async def checked(
        self, config: Config, base: str, path: Path, roots: Sequence[Path] | None, *, merged: bool = False
    ) -> Source:
        """The adapter at `path`, checked against `base`; in a thread, for it reads every weight. What is `merged` was
        checked when it was made."""
        if merged:
            return await asyncio.to_thread(read_merged, path, roots)
        return await asyncio.to_thread(lambda: read(path, roots, fit_of(config, base)))

    @asynccontextmanager
    async def change(self) -> AsyncIterator[None]:
        """Within the block this gateway alone changes adapters, and goes by the present state."""
        async with self._lease.held(PATIENCE_SECONDS):
            await self.poll()
            yield

    async def hold(self, revision: Revision) -> None:
        """Have `revision` in the engines before a name turns to it: everywhere, or with slots at one replica.

        Raises PraxisError, and then nothing is changed.
        """
        backend = self.backend(revision)
        slots = self.slots_of(revision.base)
        if revision.backend is not None:
            await self.fleet.serve(backend, revision)
        elif slots is None:
            await self.fleet.spread(backend, revision)
        else:
            await self.fleet.must_be_unchanged(revision)
            wait = self.config().backends[backend.name].adapter_wait
            until = asyncio.get_running_loop().time() + wait
            while not await self.slots.take(backend, revision, slots, self._seen):
                if asyncio.get_running_loop().time() >= until:
                    raise Overloaded(
                        f"Every adapter slot of backend `{backend.name}` was in use for {wait:g} s; try again shortly.",
                        retry_after=5,
                    )
                await asyncio.sleep(LOOK_SECONDS)

    async def write(
        self,
        action: Action,
        revision: Revision,
        author: Author,
        before: Desired | None,
        after: Desired | None,
        *,
        keep: Sequence[str] | None = None,
    ) -> None:
        """Write a change down and go by it."""

        def written() -> None:
            self.desired.change(action, revision, author, before=before, after=after, keep=keep)

        await asyncio.to_thread(written)
        async with self._refreshing:
            self._apply(await asyncio.to_thread(self.desired.read))
        logger.info(
            f"adapter {action}",
            extra={"adapter": revision.name, "revision": revision.revision, "by": author.who},
        )

    async def settle(self, name: str, patience: float) -> bool:
        """Wait until every gateway goes by the present state, and engines have forgotten the revisions of `name` that nobody
        wants, each as soon as its requests are over; whether all were forgotten within `patience` seconds. What is left is
        forgotten later."""
        until = asyncio.get_running_loop().time() + AGREE_SECONDS
        # The others tell by the database: there is no event to wait for.
        while asyncio.get_running_loop().time() < until and not await self.fleet.agreed(self._seen):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
        until = asyncio.get_running_loop().time() + patience
        while True:
            leaving = [
                (backend, replica)
                for backend in self.registry.table.backends.values()
                if backend.dialect.loads_adapters
                for replica in backend.replicas
                if replica.reachable
                and any(each.rpartition("@")[0] == name for each in self.fleet.stale(replica, self.state))
            ]
            if not leaving:
                return True
            for backend, replica in leaving:
                stale = self.fleet.stale(replica, self.state)
                if await self.fleet.idle(stale, self._seen):
                    await self._reconcile(backend, replica)
            if asyncio.get_running_loop().time() >= until:
                return False
            await asyncio.sleep(LOOK_SECONDS)

    def backend(self, revision: Revision) -> Backend:
        """Where `revision` is: where it is served merged, else where its base is. Raises InvalidRequest when models.yaml does
        not name that any more."""
        model = self.config().models.get(revision.base)
        if model is None:
            raise InvalidRequest(
                f"`{revision.base}`, which this revision extends, is no model of models.yaml any more.",
                param="base",
            )
        name = revision.backend or model.backend
        if name not in self.registry.table.backends:
            raise InvalidRequest(
                f"`{name}`, which serves this revision, is no backend of models.yaml any more.",
                param="backend",
            )
        return self.registry.table.backends[name]

    def slots_of(self, base: str) -> int | None:
        """How many revisions each replica of the model `base` holds, None where all."""
        config = self.config()
        return config.backends[config.models[base].backend].adapter_slots

    def revision(self, name: str, revision: str) -> Revision:
        """A revision that is known. Raises KeyError."""
        found = self.known(name, revision)
        if found is None:
            raise KeyError(revision)
        return found

    def known(self, name: str, revision: str) -> Revision | None:
        """A revision, if there ever was such a one."""
        return next(
            (each for each in self.state.revisions if (each.name, each.revision) == (name, revision)), None
        )

    # What engines hold

    def learned(self, backend: Backend, replica: Replica) -> None:
        """A probe told what `replica` holds: bring it to what it should hold, in the background."""
        self.slots.heed([backend])
        if not self.awaited.isdisjoint(replica.models):
            self.awaited.clear()
            self._import_due = True
        if backend.dialect.loads_adapters and replica.url not in self._reconciling:
            missing, stale = self._differences(backend, replica)
            if missing or stale:
                self._spawn(self._background(backend, replica))

    async def _background(self, backend: Backend, replica: Replica) -> None:
        if replica.url in self._reconciling:
            return
        self._reconciling.add(replica.url)
        try:
            await self._reconcile(backend, replica)
        except (Overloaded, sa.exc.SQLAlchemyError):
            pass  # another gateway is at it, or the database is away: the next probe tells
        finally:
            self._reconciling.discard(replica.url)

    async def _reconcile(self, backend: Backend, replica: Replica) -> None:
        """Load what `replica` lacks, and unload what nobody wants there nor uses."""
        async with self._lease.held(PATIENCE_SECONDS):
            await self.poll()
            # Another gateway may have done it a moment ago.
            await self.fleet.look(backend)
            missing, stale = self._differences(backend, replica)
            if stale:
                for name in await self.fleet.idle(stale, self._seen):
                    await self.fleet.forget(backend, replica, name)
            for revision in missing:
                try:
                    await self.fleet.give(backend, replica, revision)
                except PraxisError:
                    continue  # logged, and tried again later

    def _differences(self, backend: Backend, replica: Replica) -> tuple[Sequence[Revision], Sequence[str]]:
        """What `replica` lacks, and the revisions in it that nobody wants any more."""
        config = self.config()
        section = config.backends.get(backend.name)
        wanted = [
            each
            for each in self.state.revisions
            if each.held
            and each.backend is None
            and each.base in config.models
            and config.models[each.base].backend == backend.name
        ]
        if section is None or not replica.reachable:
            return (), ()
        missing = self.fleet.missing(backend, replica, wanted, section.adapter_slots)
        return missing, self.fleet.stale(replica, self.state)

    # Requests for what no replica holds yet

    async def warm(self, target: Target, since: float) -> None:
        """Wait until some replica holds the revision of `target`, as one of many perhaps. `since` is when the request came,
        on the monotonic clock. Raises Overloaded when it takes too long, UpstreamError when engines refuse it."""
        wait = self.config().backends[target.backend.name].adapter_wait
        task = self._warming.get(target.upstream)
        if task is None:
            task = self._spawn(self._bring(target.upstream))
            self._warming[target.upstream] = task
            task.add_done_callback(partial(self._warmed, target.upstream))
        try:
            async with asyncio.timeout(max(0.0, since + wait - time.monotonic())):
                # It goes on for the others, and for who comes next, when this one has waited for long enough.
                await asyncio.shield(task)
        except TimeoutError:
            raise too_cold(target, wait) from None

    def _warmed(self, upstream: str, task: asyncio.Task[None]) -> None:
        del self._warming[upstream]
        if not task.cancelled():
            task.exception()  # whoever still waits raises it; nobody may

    async def _bring(self, upstream: str) -> None:
        """Load the revision into one replica as soon as there is a slot for it."""
        name, _, short = upstream.rpartition("@")
        revision = self.known(name, short)
        if revision is None or not revision.held:
            return  # it has just been unloaded: the table says so to whoever waited
        backend, slots = self.backend(revision), self.slots_of(revision.base)
        until = asyncio.get_running_loop().time() + self.config().backends[backend.name].adapter_wait
        try:
            while asyncio.get_running_loop().time() < until:
                async with self._lease.held(PATIENCE_SECONDS):
                    if slots is None or await self.slots.take(backend, revision, slots, self._seen):
                        return
                await asyncio.sleep(LOOK_SECONDS)
        except Overloaded:
            raise
        except sa.exc.SQLAlchemyError:
            raise Overloaded(
                f"The state database is away, and `{upstream}` is at no replica; ask again shortly.",
                retry_after=2,
            ) from None
        except PraxisError as error:
            raise UpstreamError(f"The adapter `{upstream}` could not be loaded: {error.message}") from None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
