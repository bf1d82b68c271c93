"""Whether the gateway wants traffic: not before its backends and assistants answered once, not while it drains."""

from __future__ import annotations

import time
from typing import Any

from gateway.documents import Documents
from gateway.routing.table import Registry
from praxis.configuration import Configuration


class Readiness:
    """Answers /readyz. Once ready it stays so, and names what is down as `degraded`."""

    def __init__(self, configuration: Configuration, registry: Registry, documents: Documents) -> None:
        self._configuration = configuration
        self._registry = registry
        self._documents = documents
        self._since = time.monotonic()
        self._was_ready = False
        self.draining = False

    def report(self) -> tuple[int, dict[str, Any]]:
        """Status and body of /readyz."""
        waiting = self._waiting()
        patience = self._configuration.current.server.ready_after
        if not waiting or time.monotonic() - self._since >= patience:
            self._was_ready = True
        body: dict[str, Any] = {"generation": self._configuration.generation}
        if self._configuration.refused:
            body["config_refused"] = self._configuration.refused
        if self.draining:
            return 503, {"status": "draining", **body}
        if not self._was_ready:
            return 503, {"status": "starting", "waiting_for": waiting, **body}
        return 200, {"status": "ready", "degraded": self._degraded(), **body}

    def _waiting(self) -> list[str]:
        names = [
            f"backend {each.name}" for each in self._registry.table.backends.values() if not each.answered
        ]
        return names + self._assistants()

    def _degraded(self) -> list[str]:
        names = [f"backend {each.name}" for each in self._registry.table.backends.values() if not each.up]
        return names + self._misnamed() + self._assistants()

    def _misnamed(self) -> list[str]:
        """Models that an engine which answers any name would answer with another model than the file says."""
        routes = self._registry.table.routes.values()
        firsts = [(route.name, route.targets[0]) for route in routes if route.kind == "model"]
        listed = {
            name: (target, {each for replica in target.backend.replicas for each in replica.models})
            for name, target in firsts
            if target.backend.dialect.answers_any_name
        }
        return [
            f"model {name}: backend {target.backend.name} serves {', '.join(sorted(known))}, not {target.upstream}"
            for name, (target, known) in listed.items()
            if known and target.upstream not in known
        ]

    def _assistants(self) -> list[str]:
        """Assistants that cannot answer: the document process says of each whether its knowledge is there."""
        known = self._documents.assistants
        return [
            f"assistant {name}"
            for name in self._configuration.current.assistants
            if not self._documents.ready or known.get(name, "not known to rag yet") is not None
        ]
