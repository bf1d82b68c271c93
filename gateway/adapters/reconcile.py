"""Makes every replica hold the adapters that it should: after a load, and after an engine came back without them."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import sqlalchemy as sa

from gateway.adapters.desired import Desired, DesiredAdapters
from gateway.adapters.engine import Engines
from gateway.adapters.fit import fit_of
from gateway.adapters.source import Source, read
from gateway.routing.backend import Backend
from gateway.routing.replica import Replica
from gateway.routing.table import LiveAdapter, Registry
from praxis.config import Config
from praxis.errors import InvalidRequest, NotFound, Overloaded, PraxisError

logger = logging.getLogger("praxis.gateway.adapters")

RETRY_SECONDS = 30.0

STRANGER_SECONDS = 300.0
"""How long a revision that this gateway never wanted is left in an engine: another gateway may be loading it."""

DROPPED_SECONDS = 60.0
"""How long one that this gateway wanted and wants no more is unloaded wherever it is seen."""

_REVISION = re.compile(r".+@[0-9a-f]{12}")
_NAME = re.compile(r"[^\s@,/\\]{1,128}")


class Adapters:
    """The adapters of this gateway: wanted by the state database and models.yaml, held by the engines.

    One change at a time: loads stagger by themselves, because an engine pauses its other requests for each.
    """

    def __init__(
        self, registry: Registry, desired: DesiredAdapters, engines: Engines, config: Callable[[], Config]
    ) -> None:
        self._registry = registry
        self._desired = desired
        self._engines = engines
        self._config = config
        self._wanted: dict[str, Desired] = {}
        self._read: list[Desired] = []
        self._dropped: dict[str, float] = {}
        self._strangers: dict[tuple[str, str], float] = {}
        self._changing = asyncio.Lock()
        self._refreshing = asyncio.Lock()
        self._failed: dict[tuple[str, str], float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def refresh(self) -> None:
        """Read what should be live and rebuild the table of names."""
        # One after the other, so that what was read earlier never replaces what was read later.
        async with self._refreshing:
            await self._apply(await asyncio.to_thread(self._desired.all))

    async def poll(self) -> bool:
        """Refresh if another gateway has changed what should be live; whether one has."""
        async with self._refreshing:
            rows = await asyncio.to_thread(self._desired.all)
            if rows == self._read:
                return False
            await self._apply(rows)
            return True

    async def _apply(self, rows: list[Desired]) -> None:
        config = self._config()
        self._read = rows
        wanted = {each.name: each for each in rows}
        for name, section in config.adapters.items():
            path = config.resolve(section.source)
            try:
                # Where the file says is the operator's own word, so it needs no root.
                source = await self._checked(config, section.base, path, None)
            except InvalidRequest as error:
                logger.error("adapter refused", extra={"adapter": name, "reason": error.message})
                continue
            wanted[name] = Desired(
                name, section.base, str(source.path), source.revision, "models.yaml", time.time()
            )
        now = asyncio.get_running_loop().time()
        names = {each.upstream for each in wanted.values()}
        gone = {each.upstream: now for each in self._wanted.values()} | self._dropped
        self._dropped = {
            name: at for name, at in gone.items() if name not in names and at > now - DROPPED_SECONDS
        }
        self._wanted = wanted
        live = [LiveAdapter(each.name, each.base, each.upstream) for each in wanted.values()]
        self._registry.apply(config, live)

    def list(self) -> Sequence[dict[str, object]]:
        """Each adapter with where it is loaded, for the operator."""
        return [self._describe(each) for each in self._wanted.values()]

    async def load(self, name: str, base: str, source: str, who: str) -> dict[str, object]:
        """Make `name` answer with the adapter in the folder `source` on every replica that serves `base`.

        Loading other content under a live name replaces it; the same content again changes nothing. Raises
        InvalidRequest when the adapter cannot be served, and then leaves no replica changed.
        """
        config = self._config()
        backend = self._backend(config, name, base)
        path = config.resolve(Path(source))
        checked = await self._checked(config, base, path, config.adapter_roots())
        wanted = Desired(name, base, str(checked.path), checked.revision, who, time.time())
        async with self._changing:
            old = self._wanted.get(name)
            await self._load_everywhere(backend, wanted)
            await asyncio.to_thread(self._desired.put, wanted)
            await self.refresh()
            if old is not None and old.upstream != wanted.upstream:
                await self._unload_everywhere(old)
        logger.info("adapter loaded", extra={"adapter": name, "revision": wanted.revision, "by": who})
        choice = {"chosen": checked.chosen, "why": checked.why, "unchecked": checked.unchecked}
        return self._describe(wanted) | choice

    async def unload(self, name: str, who: str) -> None:
        """Take `name` out of every replica. Raises NotFound; InvalidRequest for one that models.yaml names."""
        if name in self._config().adapters:
            raise InvalidRequest(
                f"`{name}` stands in models.yaml; remove it from `adapters` there.", param="name"
            )
        old = self._wanted.get(name)
        if old is None:
            raise NotFound(
                f"No adapter `{name}` is loaded; `praxis adapters list` shows those that are.", param="name"
            )
        async with self._changing:
            await asyncio.to_thread(self._desired.remove, name)
            await self.refresh()
            await self._unload_everywhere(old)
        logger.info("adapter unloaded", extra={"adapter": name, "by": who})

    def learned(self, backend: Backend, replica: Replica) -> None:
        """A probe told what `replica` holds: bring it to what it should hold, in the background."""
        if backend.dialect.loads_adapters and self._differences(backend, replica):
            task = asyncio.get_running_loop().create_task(self._reconcile(backend, replica))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _checked(self, config: Config, base: str, path: Path, roots: Sequence[Path] | None) -> Source:
        """The adapter at `path`, checked against `base`; in a thread, for it reads every weight."""
        return await asyncio.to_thread(lambda: read(path, roots, fit_of(config, base)))

    def _backend(self, config: Config, name: str, base: str) -> Backend:
        if not _NAME.fullmatch(name):
            raise InvalidRequest(
                "`name` must be 1 to 128 characters without spaces, `@`, `,` or slashes.", param="name"
            )
        if base not in config.models:
            listing = ", ".join(f"`{each}`" for each in config.models)
            raise InvalidRequest(
                f"`base` is `{base}`, which is no model of models.yaml; use one of {listing}.", param="base"
            )
        taken = self._registry.table.routes.get(name)
        if taken is not None and taken.kind != "adapter":
            raise InvalidRequest(
                f"`{name}` is already the name of another {taken.kind}; choose another.", param="name"
            )
        if name in config.adapters:
            raise InvalidRequest(f"`{name}` stands in models.yaml; change its `source` there.", param="name")
        backend = self._registry.table.backends[config.models[base].backend]
        if not backend.dialect.loads_adapters:
            raise InvalidRequest(
                f"`{base}` runs on {backend.dialect.kind}, which loads no adapters at run time; merge the adapter "
                "and serve the result as a model of its own.",
                param="base",
            )
        return backend

    async def _load_everywhere(self, backend: Backend, wanted: Desired) -> None:
        loaded: list[Replica] = []
        try:
            for replica in backend.replicas:
                if replica.reachable and wanted.upstream not in replica.models:
                    await self._engines.load(backend, replica, wanted.upstream, wanted.source)
                    loaded.append(replica)
        except PraxisError:
            for replica in loaded:
                await self._forget(backend, replica, wanted.upstream)
            raise
        if not any(wanted.upstream in replica.models for replica in backend.replicas):
            raise Overloaded(
                f"No replica of backend `{backend.name}` is up; start it, then load again.", retry_after=5
            )

    async def _unload_everywhere(self, old: Desired) -> None:
        section = self._config().models.get(old.base)
        backend = self._registry.table.backends.get(section.backend) if section else None
        for replica in backend.replicas if backend else ():
            if old.upstream in replica.models:
                await self._forget(backend, replica, old.upstream)

    async def _forget(self, backend: Backend | None, replica: Replica, upstream: str) -> None:
        """Unload as far as the replica lets us; reconciling tries again when it is back."""
        assert backend is not None
        try:
            await self._engines.unload(backend, replica, upstream)
        except PraxisError as error:
            logger.warning("unload failed", extra={"adapter": upstream, "reason": error.message})

    def _differences(
        self, backend: Backend, replica: Replica
    ) -> tuple[Sequence[Desired], Sequence[str]] | None:
        """What `replica` lacks, and revisions that nobody wants any more."""
        wanted = [each for each in self._wanted.values() if self._on(backend, each)]
        present = asyncio.get_running_loop().time()
        missing = [
            each
            for each in wanted
            if each.upstream not in replica.models
            and self._failed.get((replica.url, each.upstream), 0) <= present
        ]
        names = {each.upstream for each in wanted}
        unwanted = [name for name in replica.models if _REVISION.fullmatch(name) and name not in names]
        stale = [name for name in unwanted if self._stale(replica, name, present)]
        return (missing, stale) if missing or stale else None

    def _stale(self, replica: Replica, name: str, now: float) -> bool:
        """Whether an unwanted revision is nobody's: it was ours, or it has been there unclaimed for long."""
        since = self._strangers.setdefault((replica.url, name), now)
        stale = name in self._dropped or since <= now - STRANGER_SECONDS
        if stale:
            del self._strangers[replica.url, name]
        return stale

    def _on(self, backend: Backend, wanted: Desired) -> bool:
        model = self._config().models.get(wanted.base)
        return model is not None and model.backend == backend.name

    async def _reconcile(self, backend: Backend, replica: Replica) -> None:
        async with self._changing:
            try:
                # What is missing here may have been unloaded by another gateway a moment ago.
                await self.poll()
            except sa.exc.SQLAlchemyError:
                return
            missing, stale = self._differences(backend, replica) or ((), ())
            for wanted in missing:
                try:
                    await self._engines.load(backend, replica, wanted.upstream, wanted.source)
                except PraxisError as error:
                    again = asyncio.get_running_loop().time() + RETRY_SECONDS
                    self._failed[replica.url, wanted.upstream] = again
                    logger.error(
                        "adapter not loaded", extra={"adapter": wanted.upstream, "reason": error.message}
                    )
            for name in stale:
                await self._forget(backend, replica, name)

    def _describe(self, wanted: Desired) -> dict[str, object]:
        section = self._config().models.get(wanted.base)
        backend = self._registry.table.backends.get(section.backend) if section else None
        return {
            "name": wanted.name,
            "base": wanted.base,
            "revision": wanted.revision,
            "source": wanted.source,
            "created_by": wanted.created_by,
            "created_at": wanted.created_at,
            "replicas": [
                {"url": replica.url, "loaded": wanted.upstream in replica.models}
                for replica in (backend.replicas if backend else ())
            ],
        }
