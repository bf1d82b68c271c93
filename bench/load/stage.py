"""What a gateway benchmark runs on: two fake engines and a gateway with a key in front, each a process.

With two cores or more the gateway has the first to itself, engines and load share the second; so the
figures are those of one core of gateway, whatever else the machine could do.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil

from bench.load.engine import MODEL
from praxis.config import load
from praxis.errors import PraxisError
from praxis.keys import Keys
from praxis.state import connect

_REPLICAS = 2
_READY_WITHIN = 60.0

_CONFIG = """\
server: {{auth: keys}}
state: sqlite:///state.db
backends:
  engines: {{kind: vllm, replicas: [{replicas}]}}
models:
  {model}: {{backend: engines, upstream: {model}}}
"""


class Stage:
    """Use it as a context manager; inside, `direct` and `gateway` can be loaded with `key`."""

    def __init__(self, *, events: int) -> None:
        self._events = events
        self._cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._engines: list[psutil.Process] = []
        self._process: psutil.Process
        self.direct: list[str] = []
        self.gateway: list[str] = []
        self.key = ""

    @property
    def gateway_core(self) -> int | None:
        return self._cores[0] if len(self._cores) > 1 else None

    @property
    def load_core(self) -> int | None:
        return self._cores[1] if len(self._cores) > 1 else None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="praxis-bench-")))
            for _ in range(_REPLICAS):
                self._start_engine(stack)
            self._start_gateway(stack, folder)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def memory(self) -> float:
        """The gateway's resident memory, its workers included, in MiB."""
        family = [self._process, *self._process.children(recursive=True)]
        return sum(each.memory_info().rss for each in family) / 2**20

    def gateway_seconds(self) -> float:
        """The CPU time that the gateway has used."""
        return _seconds([self._process, *self._process.children(recursive=True)])

    def engine_seconds(self) -> float:
        """The CPU time that the engines have used."""
        return _seconds(self._engines)

    def _start_engine(self, stack: ExitStack) -> None:
        command = [sys.executable, "-m", "bench.load.engine", "--events", str(self._events)]
        process = _start(stack, command, self.load_core, stdout=subprocess.PIPE)
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            raise PraxisError("A fake engine of the benchmark did not start; its error stands above.")
        self.direct.append(f"http://127.0.0.1:{int(port)}")
        self._engines.append(psutil.Process(process.pid))

    def _start_gateway(self, stack: ExitStack, folder: Path) -> None:
        file = folder / "models.yaml"
        file.write_text(_CONFIG.format(replicas=", ".join(self.direct), model=MODEL))
        engine = connect(load(file).state)
        self.key = Keys(engine).create("bench")[1]
        engine.dispose()
        port = _free_port()
        self.gateway = [f"http://127.0.0.1:{port}"]
        log = folder / "gateway.log"
        command = [sys.executable, "-m", "gateway", "--config", str(file), "--host", "127.0.0.1"]
        with log.open("wb") as output:
            process = _start(
                stack,
                [*command, "--port", str(port)],
                self.gateway_core,
                stdout=output.fileno(),
                stderr=output.fileno(),
                PRAXIS_HOME=str(folder / "home"),
                PRAXIS_RAG_SECRET=secrets.token_hex(16),
            )
        self._process = psutil.Process(process.pid)
        self._wait_until_ready(process, log)

    def _wait_until_ready(self, process: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + _READY_WITHIN
        while process.poll() is None and time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.gateway[0]}/readyz", timeout=5, trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                pass  # It does not listen yet.
            time.sleep(0.05)
        tail = log.read_text("utf-8", "replace")[-2000:]
        raise PraxisError(
            f"The gateway was not ready within {_READY_WITHIN:g} s. The end of its log:\n{tail}"
        )


def _start(
    stack: ExitStack,
    command: Sequence[str],
    core: int | None,
    *,
    stdout: int,
    stderr: int | None = None,
    **variables: str,
) -> subprocess.Popen[bytes]:
    """Start a process that ends with `stack`, on one core where one is given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PRAXIS_")}
    process = subprocess.Popen(
        command,
        env=inherited | variables,
        stdout=stdout,
        stderr=stderr,
    )
    stack.callback(_end, process)
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _seconds(processes: Sequence[psutil.Process]) -> float:
    times = [each.cpu_times() for each in processes]
    return sum(each.user + each.system for each in times)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
