"""`praxis up` from the outside: what it tells of a process that dies, and that nothing ever outlives it.

The engine is a fake here, which costs no minute to start; everything else is real.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.fakes.vllm import VLLM
from tests.processes import environment, eventually, free_port, gone

pytestmark = [pytest.mark.chain, pytest.mark.timeout(1200)]

MODELS = """
backends: {{local: {{kind: vllm, replicas: ["{engine}"]}}}}
models: {{toy: {{backend: local, upstream: {model}}}}}
rag: {{url: "http://127.0.0.1:{rag}"}}
"""


class Up:
    """One `praxis up` after another in the same folder."""

    def __init__(self, folder: Path, engine: VLLM) -> None:
        self.folder = folder
        self.ready = folder / ".praxis" / "run" / "ready.json"
        self.log = folder / "up.log"
        text = MODELS.format(engine=engine.url, model=engine.model, rag=free_port())
        (folder / "models.yaml").write_text(text)
        self.process: subprocess.Popen[bytes]

    def start(self) -> dict[str, Any]:
        """Start it and return what it announces once it is ready."""
        options = ["--port", str(free_port()), "--ui-port", str(free_port())]
        inherited = environment()
        del inherited["PRAXIS_RAG_SECRET"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "praxis", "up", *options],
                cwd=self.folder,
                env=inherited,
                stdout=log,
                stderr=log,
            )
        eventually(lambda: self._announced(), "it is ready", within=300)
        facts: dict[str, Any] = json.loads(self.ready.read_text())
        return facts

    def _announced(self) -> bool:
        assert self.process.poll() is None, f"`praxis up` ended:\n{self.output()}"
        return self.ready.exists() and json.loads(self.ready.read_text())["pids"]["up"] == self.process.pid

    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text()

    def end(self) -> None:
        """Whatever the test did, leave nothing behind."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(120)


@pytest.fixture
def up(prepared: Path, tmp_path: Path) -> Iterator[Up]:
    """A fresh folder that shares the prepared weights."""
    (tmp_path / ".praxis").mkdir()
    for shared in ("models", "downloads"):
        (tmp_path / ".praxis" / shared).symlink_to(prepared / shared)
    with VLLM() as engine:
        running = Up(tmp_path, engine)
        yield running
        running.end()


def family(facts: dict[str, Any]) -> list[psutil.Process]:
    """`praxis up` and every process below it."""
    up = psutil.Process(facts["pids"]["up"])
    return [up, *up.children(recursive=True)]


def test_a_stack_tells_of_deaths_survives_them_and_leaves_nothing_behind(up: Up) -> None:
    facts = up.start()
    assert {"up", "supervisord", "rag", "gateway", "ui"} == set(facts["pids"])
    first = up.output()
    assert first.count("sk-praxis-") >= 2
    assert f"{facts['gateway']}/v1" in first
    assert facts["ui"] in first

    os.kill(facts["pids"]["gateway"], signal.SIGKILL)
    eventually(lambda: "`gateway` died (terminated by SIGKILL). The end of" in up.output(), "it is told")
    eventually(lambda: answers(facts["gateway"]), "the gateway is back", within=120)

    everything = family(facts)
    assert len(everything) >= 5
    up.process.kill()
    up.process.wait()
    eventually(lambda: gone(everything), "nothing outlives a killed `praxis up`", within=120)

    facts = up.start()
    assert "sk-praxis-" not in up.output().replace("sk-praxis-…", "")
    everything = family(facts)
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(120) == 0
    assert gone(everything)
    assert not up.ready.exists()
    assert "Stopped; nothing is left running." in up.output()


def answers(url: str) -> bool:
    """Whether the gateway lives."""
    try:
        return httpx.get(f"{url}/healthz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
