"""Praxis's own processes, run for real by the tests, and the patience that goes with that."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

from praxis.config import load
from praxis.keys import Keys
from praxis.state import connect
from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
ENGINE_KEY = "engine-key-0123456789"
"""What the processes find in `ENGINE_KEY`: the key that a backend with `api_key_env: ENGINE_KEY` sends."""


def eventually(holds: Callable[[], Any], what: str, within: float = 60.0) -> Any:
    """Ask `holds` until it says something true, and return that; AssertionError after `within` seconds."""
    deadline = time.monotonic() + within
    while not (answer := holds()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        time.sleep(0.02)
    return answer


def gone(processes: Iterable[psutil.Process]) -> bool:
    """Whether none of them lives; one that waits to be collected by whoever inherited it counts as gone."""
    return not any(map(_lives, processes))


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def environment(**extra: str) -> dict[str, str]:
    """The environment of a process under test: this one's, with the secrets that it needs and nothing that would divert it."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PRAXIS_", "OPENAI_"))
    }
    return {
        **inherited,
        "PYTHONPATH": str(ROOT),
        "PRAXIS_RAG_SECRET": "rag-secret-0123456789",
        "ENGINE_KEY": ENGINE_KEY,
        **extra,
    }


def praxis(*arguments: str, cwd: Path, **extra: str) -> "subprocess.CompletedProcess[str]":
    """Run a `praxis` command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "praxis", *arguments],
        cwd=cwd,
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=240,
    )


class Gateway:
    """`python -m gateway` on a free port with its own folder, one admin key and one user key. Alive inside `with`.

    `more` are further arguments of its command line, `variables` of its environment; `stderr` is where its log goes in
    place of the file `log`. Entered again, it comes back where it was. One that is `beside` another shares its state and keys, as on another machine.
    """

    def __init__(
        self,
        folder: Path,
        config: str,
        *more: str,
        stderr: int | None = None,
        beside: "Gateway | None" = None,
        **variables: str,
    ) -> None:
        self.folder = folder
        self.stderr = stderr
        self.environment = variables
        self.more = more
        self.file = folder / "models.yaml"
        self.log = folder / "gateway.log"
        self.port = 0
        if beside is not None:
            config = json.dumps(json.loads(config) | {"state": load(beside.file).state})
        self.file.write_text(config)
        self._state = connect(load(self.file).state)
        self.keys = Keys(self._state)
        if beside is None:
            self.admin_key = self.keys.create("test-admin", admin=True)[1]
            self.user_key = self.keys.create("test-user")[1]
        else:
            self.admin_key, self.user_key = beside.admin_key, beside.user_key
        self.process: subprocess.Popen[bytes]
        self.http: httpx.Client

    @property
    def url(self) -> str:
        """The gateway's root."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.port = self.port or free_port()
        self.http = self._client()
        command = [
            sys.executable,
            "-m",
            "gateway",
            "--config",
            str(self.file),
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            *self.more,
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment(**self.environment),
                stdout=log,
                stderr=log if self.stderr is None else self.stderr,
            )
        with ExitStack() as undo:
            undo.push(self)
            eventually(self._alive, "the gateway answers /healthz", within=60)
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self._state.dispose()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            finally:
                self.process.kill()
                self.process.wait()

    def hang_up(self) -> None:
        """Drop every kept connection, so that the next request makes one of its own."""
        self.http.close()
        self.http = self._client()

    def _client(self) -> httpx.Client:
        # Nothing here speaks TLS, and reading the authorities' certificates takes longer than a request.
        return httpx.Client(timeout=60, trust_env=False, verify=False)

    def _alive(self) -> bool:
        assert self.process.poll() is None, f"the gateway ended:\n{self.log.read_text()}"
        try:
            return self.http.get(f"{self.url}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    # configuration

    def write(self, config: str) -> None:
        """Put another models.yaml in place, as an editor does: whole."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(config)
        fresh.replace(self.file)

    def reload(self) -> httpx.Response:
        """Ask for a reload as an operator would."""
        return self.post("/admin/v1/reload", key=self.admin_key)

    def configure(self, config: str) -> None:
        """Put another models.yaml in place and have it in force."""
        self.write(config)
        reply = self.reload()
        assert reply.status_code == 200, reply.text

    # requests

    def request(self, method: str, path: str, *, key: str | None = "", **rest: Any) -> httpx.Response:
        """One request with the user's key; `key` gives another, None none."""
        headers = dict(rest.pop("headers", {}))
        if key is not None:
            headers["authorization"] = f"Bearer {key or self.user_key}"
        return self.http.request(method, self.url + path, headers=headers, **rest)

    def get(self, path: str, **rest: Any) -> httpx.Response:
        """GET."""
        return self.request("GET", path, **rest)

    def post(self, path: str, **rest: Any) -> httpx.Response:
        """POST."""
        return self.request("POST", path, **rest)

    def models(self) -> dict[str, dict[str, Any]]:
        """The cards of /v1/models by id."""
        return {card["id"]: card for card in self.get("/v1/models").json()["data"]}

    # what can be seen from outside

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        text = self.http.get(f"{self.url}/metrics").text
        values = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, values))

    def idle(self) -> bool:
        """Whether no request is in flight."""
        return self.metric("praxis_inflight_requests") == 0
