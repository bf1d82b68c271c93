"""All of Praxis on one machine: which processes, on which addresses, and when they are ready."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from praxis.config import Config
from praxis.errors import PraxisError
from praxis.up import engines
from praxis.up.engines import LOOPBACK, Engine
from praxis.up.environment import Environment
from praxis.up.first_start import KNOWLEDGE, Samples
from praxis.up.ports import Address
from praxis.up.progress import Progress, Report
from praxis.up.supervisor import Program, Supervisor

_HOPELESS = 3
"""A process that dies this often before everything was ready once is not going to come up."""

_UNFILLED = 20
"""Seconds after which an assistant whose knowledge base is still missing no longer holds up the rest."""

_POLL = 0.3
"""Seconds between two looks at the processes."""


class NotComingUp(PraxisError):
    """A process dies again and again before everything was ready once."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where each process listens."""

    gateway: Address
    ui: Address
    rag: Address | None
    """None where `rag.url` is another machine's."""
    engines: Mapping[str, Address]

    def all(self) -> list[Address]:
        rag = [self.rag] if self.rag else []
        return [self.gateway, self.ui, *rag, *self.engines.values()]


def listeners(config: Config, host: str, port: int, ui_port: int) -> Listeners:
    """The addresses that `config` and the command's options give."""
    rag = urlsplit(config.rag.url)
    replicas = {
        process: Address(
            f"engine `{name}`",
            urlsplit(url).hostname or "127.0.0.1",
            urlsplit(url).port or 80,
            f"`backends.{name}.replicas` in `{config.path.name}`",
        )
        for name, backend in config.backends.items()
        if backend.launch
        for process, url in engines.replicas(name, backend)
    }
    return Listeners(
        gateway=Address("gateway", host, port, "`--port`"),
        ui=Address("UI", host, ui_port, "`--ui-port`"),
        rag=Address("rag", rag.hostname, rag.port or 80, f"`rag.url` in `{config.path.name}`")
        if rag.hostname in LOOPBACK
        else None,
        engines=replicas,
    )


@contextlib.contextmanager
def alone(run: Path, progress: Progress) -> Iterator[int]:
    """Hold the lock that lets one `praxis up` at a time use this home; yields its file descriptor.

    supervisord inherits it, so that a successor waits for the processes of one that was killed. Raises PraxisError
    when another one runs.
    """
    run.mkdir(parents=True, exist_ok=True)
    with (run / "lock").open("a+") as file:
        if not _lock(file.fileno()):
            if owner := running(run):
                raise PraxisError(
                    f"`praxis up` runs here already (process {owner}); stop it, or set `PRAXIS_HOME` to another "
                    "folder and choose other ports."
                )
            with progress.step("Waiting for the processes of an earlier run to stop"):
                deadline = time.monotonic() + 60
                while not _lock(file.fileno()):
                    if time.monotonic() > deadline:
                        raise PraxisError(f"They do not stop; end what `fuser {run / 'lock'}` names.")
                    time.sleep(_POLL)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield file.fileno()


def running(run: Path) -> int | None:
    """The process id of the `praxis up` whose files are in `run`, while it lives."""
    try:
        with (run / "lock").open() as file:
            owner = file.read().strip()
            if _lock(file.fileno()):
                return None
    except OSError:
        return None
    return int(owner) if owner.isdigit() and psutil.pid_exists(int(owner)) else None


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def programs(
    config: Config, at: Listeners, planned: list[Engine], made: Environment | None, workers: int = 1
) -> list[Program]:
    """Every process of the stack, the gateway with so many `workers`; it waits to be started until the samples are
    searchable."""
    environment = {
        "PRAXIS_HOME": str(config.home),
        "PRAXIS_GATEWAY_URL": at.gateway.url,
        "PYTHONUNBUFFERED": "1",
    }

    def room(name: str, address: Address, *more: str, start: bool = True, stop_after: int = 20) -> Program:
        command = [sys.executable, "-m", name, "--config", str(config.path)]
        command += ["--host", address.host, "--port", str(address.port), *more]
        return Program(name, command, config.root, environment, start, stop_after)

    kind = engines.device()
    found = [engines.program(engine, config, made, kind) for engine in planned if made]
    if at.rag:
        found.append(room("rag", at.rag))
    # Past its drain the gateway ends by itself; SIGKILL is for one that does not.
    patience = int(config.server.drain) + 10
    found.append(room("gateway", at.gateway, "--workers", str(workers), start=False, stop_after=patience))
    found.append(room("ui", at.ui))
    return found


class Stack:
    """The running processes, watched: brings them to readiness, and tells of each that dies."""

    def __init__(self, config: Config, at: Listeners, supervisor: Supervisor, progress: Progress) -> None:
        self._config = config
        self._at = at
        self._supervisor = supervisor
        self._progress = progress
        self._ready = False
        self._client = httpx.Client(timeout=10, trust_env=False)

    def check(self) -> None:
        """Tell of processes that died. Raises PraxisError when one will not come up, or supervisord is gone."""
        for death in self._supervisor.deaths():
            self._progress.say(f"✗ {death}")
            if not self._ready and death.count >= _HOPELESS:
                raise NotComingUp(
                    f"`{death.name}` died {death.count} times before it was ready; mend what its log says "
                    f"({death.log}) and run the same command again."
                )
            self._progress.say(f"  `{death.name}` is being restarted.")

    def watch(self) -> None:
        """Check until interrupted."""
        while True:
            self.check()
            time.sleep(_POLL)

    def fill_samples(self, samples: Samples) -> None:
        """Put the samples into their knowledge base; a failure is told and does not keep the rest from coming up."""
        with self._progress.step("Documents (rag)") as report:
            self._await("rag", self._config.rag.url, "/readyz", report)
        if not samples.needed():
            return
        try:
            with self._progress.step(f"Sample knowledge base `{KNOWLEDGE}`") as report:
                samples.fill(report, self.check)
        except NotComingUp:
            raise
        except (PraxisError, httpx.HTTPError) as error:
            self._progress.say(f"  {error}\n  Everything else goes on; the next `praxis up` tries again.")

    def start_gateway(self) -> None:
        self._supervisor.start("gateway")

    def await_ready(self) -> None:
        """Wait until the engines, the gateway and the UI answer."""
        for name, each in self._at.engines.items():
            with self._progress.step(f"Engine at {each.url}") as report:
                self._await(name, each.url, "/health", report)
        with self._progress.step("Gateway") as report:
            self._await("gateway", self._at.gateway.url, "/healthz", report)
            unfilled = self._await_gateway(report)
        if unfilled:
            self._progress.say(
                f"  Not ready: {', '.join(unfilled)}; fill what it answers from (`praxis knowledge`)."
            )
        with self._progress.step("UI") as report:
            self._await("ui", self._at.ui.url, "/_stcore/health", report)
        self._ready = True

    def announce(self, file: Path) -> None:
        """Write `file`, by which other programs learn that all is ready, and where."""
        facts = {
            "gateway": self._at.gateway.url,
            "ui": self._at.ui.url,
            "rag": self._at.rag.url if self._at.rag else self._config.rag.url,
            "engines": {name: each.url for name, each in self._at.engines.items()},
            "pids": {"up": os.getpid(), "supervisord": self._supervisor.pid} | self._supervisor.pids(),
        }
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(facts, indent=1) + "\n")
        partial.replace(file)

    def _await(self, name: str, root: str, path: str, report: Report) -> None:
        while not self._answers(name, root + path, report):
            self.check()
            time.sleep(_POLL)

    def _await_gateway(self, report: Report) -> list[str]:
        """Wait until the gateway is ready, or until only assistants without knowledge are missing: return those."""
        patience = time.monotonic() + _UNFILLED
        while not self._answers("gateway", f"{self._at.gateway.url}/readyz", report):
            self.check()
            waiting = self._waiting_for()
            if not waiting or not all(each.startswith("assistant ") for each in waiting):
                patience = time.monotonic() + _UNFILLED
            elif time.monotonic() > patience:
                return waiting
            time.sleep(_POLL)
        return []

    def _waiting_for(self) -> list[str]:
        try:
            waiting: Any = self._client.get(f"{self._at.gateway.url}/readyz").json().get("waiting_for")
        except (httpx.HTTPError, ValueError):
            return []
        return list(waiting or [])

    def _answers(self, name: str, url: str, report: Report) -> bool:
        try:
            response = self._client.get(url)
        except httpx.HTTPError:
            report(_last_words(self._supervisor.tail(name, 1)))
            return False
        if response.status_code != 200:
            report(_why(response))
        return response.status_code == 200


def _last_words(line: str) -> str:
    """The message of a log's last line: what a process that does not answer yet is doing."""
    if line.strip() in ("(empty)", "(no log)"):
        return "starting"
    line = re.sub(r"^\(.*?\) (\w+ [\d:. -]+ \[.*?\] )?", "", line.strip())
    try:
        message: Any = json.loads(line)["message"]
    except (ValueError, KeyError, TypeError):
        message = line
    return " ".join(str(message).split())[:80]


def _why(response: httpx.Response) -> str:
    """What /readyz gives as the reason that a process is not ready."""
    try:
        body: Any = response.json()
    except ValueError:
        return "starting"
    waiting = body.get("waiting_for") or body.get("reason") or body.get("status") or "starting"
    return f"waiting for {', '.join(waiting)}" if isinstance(waiting, list) else str(waiting)
