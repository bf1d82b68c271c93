"""What a gateway benchmark runs on: two fake engines and the subjects in front of them, each a process.

With two cores or more the servers have one, of which only the measured one has work, and engines and load share
another; so the figures are those of one core of gateway, whatever else the machine could do.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.load.client import NOBODY_LISTENS
from bench.load.loads import EVENTS, INTERVAL, Load
from bench.load.processes import Server, busy_seconds, on_core, start, two_cores
from bench.load.subjects import SUBJECTS, Ground, NotInstalled, Subject
from praxis.errors import PraxisError

_REPLICAS = 2

_OWN = ("direct", "praxis")
"""Subjects without which there is nothing to measure."""


@dataclass(slots=True)
class Stage:
    """Running engines and subjects. `skipped` says of every subject that does not run why."""

    engines: Sequence[Server]
    core: int | None
    load_core: int | None
    subjects: list[Subject] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def measure(
        self, subject: Subject, load: Load, *, seconds: float, requests: int | None = None
    ) -> dict[str, Any]:
        """What the load client saw of `subject`, with what server, engines and strangers took of their cores.

        Raises PraxisError when engines or Praxis do not listen; of a peer that is an error like any other.
        """
        server = subject.server
        began, engines, client = time.monotonic(), self._engine_seconds(), _client_seconds()
        busy = busy_seconds(self.core), busy_seconds(self.load_core)
        before = server.cpu_seconds() if server else 0.0
        figures = self._load(subject, load, seconds, requests)
        spent = server.cpu_seconds() - before if server and server.alive else 0.0
        loading = self._engine_seconds() - engines
        others = [
            busy_seconds(self.core) - busy[0] - spent if server else 0.0,
            busy_seconds(self.load_core) - busy[1] - loading - (_client_seconds() - client),
        ]
        took = figures.pop("took")
        alive = server is not None and server.alive
        return figures | {
            "engines_cpu": loading / took if took else 0.0,
            "others_cpu": max(0.0, *others) / (time.monotonic() - began),
            "cpu_us": 1e6 * spent / figures["answered"] if alive and figures["answered"] else None,
            "memory_mib": server.memory() if server and alive else None,
        }

    def _load(self, subject: Subject, load: Load, seconds: float, requests: int | None) -> dict[str, Any]:
        command = [sys.executable, "-m", "bench.load.client", *load.options(seconds)]
        command += ["--warm-up", str(load.warm_up)]
        for url in subject.urls:
            command += ["--url", url]
        if requests is not None:
            command += ["--requests", str(requests)]
        environment = os.environ | {"PRAXIS_API_KEY": subject.key}
        with on_core(self.load_core):
            client = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if client.returncode == 0:
            return dict(json.loads(client.stdout))
        if client.returncode == NOBODY_LISTENS and subject.name not in _OWN:
            return dict(_NOTHING) | {"errors": {"unreachable": 1}}
        log = f"\nThe end of its log:\n{subject.server.log_end()}" if subject.server else ""
        reason = client.stderr.strip()[-500:]
        raise PraxisError(f"The load client could not load `{subject.name}`: {reason}{log}")

    def _engine_seconds(self) -> float:
        return sum(each.cpu_seconds() for each in self.engines)


def _client_seconds() -> float:
    """The CPU time of the load clients that have ended; servers end later, with the stage."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


_NOTHING: dict[str, Any] = {
    "requests": 0,
    "answered": 0,
    "requests_per_second": 0.0,
    "p50_ms": None,
    "p99_ms": None,
    "first_event_p50_ms": None,
    "first_event_p99_ms": None,
    "gap_p99_ms": None,
    "errors": {},
    "cpu": 0.0,
    "took": 0.0,
}
"""The figures of a measurement in which nobody listened."""


@contextmanager
def stage(names: Sequence[str], *, optional: bool, report: Callable[[str], None]) -> Iterator[Stage]:
    """Engines, and the subjects of these names in front of them.

    Where peers are `optional`, one that is not installed or does not start is left out and named in `skipped`.
    Raises PraxisError for every other process that does not start.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="praxis-bench-")))
        core, load_core = two_cores()
        engines = [_engine(stack, number, load_core) for number in range(_REPLICAS)]
        found = Stage([server for server, _ in engines], core, load_core)
        ground = Ground(stack, folder, [url for _, url in engines], core)
        for name in names:
            report(f"starting {name}")
            try:
                found.subjects.append(SUBJECTS[name](ground))
            except PraxisError as error:
                if name in _OWN or not optional:
                    raise PraxisError(_not_there(name, error)) from None
                found.skipped[name] = str(error)
        yield found


def _not_there(name: str, error: PraxisError) -> str:
    return f"`{name}` is not installed: {error}." if isinstance(error, NotInstalled) else str(error)


def _engine(stack: ExitStack, number: int, core: int | None) -> tuple[Server, str]:
    command = [sys.executable, "-m", "bench.load.engine", "--events", str(EVENTS)]
    server = start(stack, f"engine {number + 1}", [*command, "--interval", str(INTERVAL)], core)
    assert server.process.stdout is not None
    port = server.process.stdout.readline().strip()
    if not port:
        raise PraxisError("A fake engine of the benchmark did not start; its error stands above.")
    return server, f"http://127.0.0.1:{int(port)}"
