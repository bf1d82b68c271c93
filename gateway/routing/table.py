"""Names to targets. A `Table` is one immutable picture of the configuration; requests keep the one they began with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Literal

from gateway.backends import dialect
from gateway.place import Place
from gateway.proxy.edit import Editor
from gateway.proxy.thinking import editor
from gateway.routing.backend import Backend, Serves
from gateway.routing.budget import Budget
from gateway.routing.queue import Queue
from gateway.routing.replica import Replica
from praxis.config import Config, Timeouts
from praxis.errors import ModelNotFound, NotPermitted
from praxis.keys import Principal

Kind = Literal["model", "alias", "adapter", "revision", "assistant", "embedding"]


@dataclass(slots=True, eq=False)
class Target:
    """Where a request may go: a backend, the name it uses there, and the settings of `model` of models.yaml."""

    model: str
    backend: Backend
    upstream: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    timeouts: Timeouts = field(default_factory=Timeouts)
    images: int = 0
    """How many pictures a request may hold, as models.yaml tells clients. It is the engine that refuses what is beyond."""
    adapter: bool = False
    revision: str = ""
    lazy: bool = False
    """Whether its engines have too few slots for all adapters, so that it may be at no replica."""
    editor: Editor | None = None
    """Makes the edit of a reply, where this model's replies need one."""
    lines: bytes = field(init=False)
    """What each of its replies says in its head of who answered."""
    first_byte: float | None = field(init=False)
    serves: Serves | None = field(init=False)
    """Which replicas can answer: an adapter must be loaded there; of a base the file is believed."""

    def __post_init__(self) -> None:
        # What every reply and every request would have to work out anew.
        self.lines = f"x-praxis-model: {self.model}\r\nx-praxis-backend: {self.backend.name}\r\n".encode()
        if self.revision:
            self.lines += f"x-praxis-revision: {self.revision}\r\n".encode()
        self.first_byte = self.timeouts.first_byte
        self.serves = self._holds if self.adapter else None

    def _holds(self, replica: Replica) -> bool:
        return self.upstream in replica.models


@dataclass(frozen=True, slots=True)
class Split:
    """A canary: the `share` (0 to 1) of an adapter's requests that goes to `target` instead, decided `by` session and
    chance, or by key."""

    target: Target
    share: float
    by: Literal["request", "key"]


@dataclass(frozen=True, slots=True)
class Route:
    """A public name: what kind of thing it is, its base where it has one, and its targets, preferred first.

    A `revision` is asked for as `name@revision`, is listed nowhere, and has the name of its adapter.
    """

    name: str
    kind: Kind
    targets: tuple[Target, ...] = ()
    base: str | None = None
    split: Split | None = None

    @property
    def grounded(self) -> bool:
        """Whether it is the document process's own: an assistant, or the model that embeds documents."""
        return not self.targets


@dataclass(frozen=True, slots=True)
class LiveAdapter:
    """An adapter that should be live. `revisions` are those that clients may ask for, each with its base; `name` alone
    answers with `current`, or for `share` of the requests with `canary`. Engines see `name@revision`. `merged` names the
    backend of each revision that is a model of its own."""

    name: str
    revisions: Mapping[str, str]
    current: str | None
    canary: str | None = None
    share: float = 0.0
    split_by: Literal["request", "key"] = "request"
    merged: Mapping[str, str] = field(default_factory=dict)


class Table:
    """All public names of one configuration."""

    def __init__(self, routes: Mapping[str, Route], backends: Mapping[str, Backend]) -> None:
        self.routes = routes
        self.backends = backends

    def resolve(self, name: str, principal: Principal) -> Route:
        """The route of `name`. Raises ModelNotFound, or NotPermitted when the key may not use it."""
        route = self.routes.get(name)
        if route is None:
            raise ModelNotFound(name, (each.name for each in self.visible(principal)))
        if principal.models is not None and not self.permits(route, principal):
            raise NotPermitted(
                f"This key may not use the model `{name}`; `GET /v1/models` lists those it may.",
                param="model",
                code="model_not_permitted",
            )
        return route

    def visible(self, principal: Principal) -> list[Route]:
        """The routes to be listed for this key."""
        return [
            route
            for route in self.routes.values()
            if route.kind != "revision" and self.permits(route, principal)
        ]

    def permits(self, route: Route, principal: Principal) -> bool:
        """An alias is allowed where the model behind it is."""
        return principal.may_use(route.name) or (
            route.kind == "alias" and route.base is not None and principal.may_use(route.base)
        )


class Registry:
    """Holds the current table and builds the next; replicas live on through a change, with all that is known of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, place: Place | None = None) -> None:
        self._loop = loop
        self._share = place.share if place is not None else int
        self._replicas: dict[tuple[str, str, str], Replica] = {}
        self._queues: dict[str, Queue] = {}
        self._budgets: dict[str, Budget] = {}
        self.table = Table({}, {})

    def apply(self, config: Config, adapters: list[LiveAdapter]) -> None:
        """Swap in the table for `config` and the live `adapters`."""
        backends = {name: self._backend(config, name) for name in config.backends}
        self.table = Table(_routes(config, adapters, backends), backends)
        kept = {id(replica) for backend in backends.values() for replica in backend.replicas}
        self._replicas = {key: replica for key, replica in self._replicas.items() if id(replica) in kept}

    def tick(self) -> None:
        """What only time brings about: idle connections go, queues move on, and stalls are noticed."""
        now = self._loop.time()
        for replica in self._replicas.values():
            replica.pool.expire()
        for backend in self.table.backends.values():
            for replica in backend.replicas:
                replica.watch(now, backend.stalled_after)
        for queue in self._queues.values():
            queue.tick()

    def _backend(self, config: Config, name: str) -> Backend:
        section = config.backends[name]
        queue = self._queues.setdefault(name, Queue(name, self._loop.time))
        queue.configure(self._share(section.queue.size), section.queue.wait)
        limit = inf if section.max_in_flight is None else self._share(section.max_in_flight)
        known = any((name, section.kind, each.url) in self._replicas for each in section.replicas)
        if not known:  # another fleet of that name: it has no debts
            self._budgets[name] = Budget(self._loop.time)
        replicas = [
            self._replica((name, section.kind, each.url), each.weight, limit, queue)
            for each in section.replicas
        ]
        return Backend(
            name,
            dialect(section.kind, constrained=section.constrained),
            replicas,
            section.api_key(),
            section.affinity,
            section.stalled_after,
            queue,
            self._budgets[name],
            self._loop.time,
        )

    def _replica(self, key: tuple[str, str, str], weight: float, limit: float, queue: Queue) -> Replica:
        replica = self._replicas.get(key)
        if replica is None:
            replica = self._replicas[key] = Replica(key[2], self._loop)
        replica.weight = weight
        replica.limit = limit
        replica.freed = queue.freed if limit < inf else None
        return replica


def _routes(config: Config, adapters: list[LiveAdapter], backends: Mapping[str, Backend]) -> dict[str, Route]:
    def target(name: str, where: str | None = None) -> Target:
        model = config.models[name]
        backend = backends[where or model.backend]
        return Target(
            name,
            backend,
            model.upstream,
            model.defaults,
            model.timeouts,
            model.images,
            editor=editor(model.thinking, model.defaults, backend.dialect.editor),
        )

    routes: dict[str, Route] = {}
    for name, model in config.models.items():
        targets = (target(name), *(target(other) for other in model.fallback))
        routes[name] = Route(name, "model", targets)
    for name, model in config.models.items():
        for alias in model.aliases:
            routes[alias] = Route(alias, "alias", routes[name].targets, base=name)
    for adapter in adapters:
        if adapter.name not in routes:
            routes |= _adapter(config, adapter, target)
    for name, assistant in config.assistants.items():
        routes[name] = Route(name, "assistant", base=assistant.model)
    embedding = config.rag.embedding.public_name
    routes.setdefault(embedding, Route(embedding, "embedding"))
    return routes


def _adapter(
    config: Config, adapter: LiveAdapter, target: Callable[[str, str | None], Target]
) -> Mapping[str, Route]:
    """The routes to an adapter: its name, and each of its revisions."""
    targets: dict[str, Target] = {}
    routes: dict[str, Route] = {}
    for revision, base in adapter.revisions.items():
        where = adapter.merged.get(revision)
        if base not in config.models or (where is not None and where not in config.backends):
            continue
        upstream = f"{adapter.name}@{revision}"
        lazy = where is None and config.backends[config.models[base].backend].adapter_slots is not None
        targets[revision] = replace(
            target(base, where),
            model=adapter.name,
            upstream=upstream,
            adapter=True,
            revision=revision,
            lazy=lazy,
        )
        routes[upstream] = Route(adapter.name, "revision", (targets[revision],), base=base)
    if adapter.current in targets:
        canary = targets.get(adapter.canary or "")
        split = Split(canary, adapter.share, adapter.split_by) if canary is not None else None
        base = adapter.revisions[adapter.current]
        routes[adapter.name] = Route(adapter.name, "adapter", (targets[adapter.current],), base, split)
    return routes
