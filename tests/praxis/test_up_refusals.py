"""What `praxis up` refuses before anything starts: each time one clear sentence, and nothing left behind."""

import fcntl
import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.processes import free_port, praxis

MODELS = """
backends:
  local: {kind: vllm, replicas: [http://127.0.0.1:ENGINE], launch: {model: MODEL}}
models: {toy: {backend: local, upstream: toy}}
rag: {url: http://127.0.0.1:RAG}
"""


class House:
    """A folder with a configuration, and ports that are free."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine, self.rag, self.port, self.ui_port = (free_port() for _ in range(4))
        self.configure("smollm2")

    def configure(self, model: str) -> None:
        """Launch `model`."""
        text = MODELS.replace("ENGINE", str(self.engine)).replace("RAG", str(self.rag))
        (self.folder / "models.yaml").write_text(text.replace("MODEL", model))

    def up(self, *options: str) -> "subprocess.CompletedProcess[str]":
        """Run `praxis up` to its end."""
        return praxis(
            "up", "--port", str(self.port), "--ui-port", str(self.ui_port), *options, cwd=self.folder
        )

    @property
    def begun(self) -> bool:
        """Whether an installation, a download or a process was begun."""
        home = self.folder / ".praxis"
        return any((home / each).exists() for each in ("engines", "models", "logs", "run/programs.json"))


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A fresh one."""
    return House(tmp_path)


@pytest.mark.parametrize(
    ("which", "process", "fix"),
    [
        ("port", "gateway", "`--port`"),
        ("ui_port", "UI", "`--ui-port`"),
        ("rag", "rag", "`rag.url` in `models.yaml`"),
        ("engine", "engine `local`", "`backends.local.replicas` in `models.yaml`"),
    ],
)
def test_a_port_in_use(house: House, which: str, process: str, fix: str) -> None:
    with socket.create_server(("127.0.0.1", getattr(house, which))):
        result = house.up()
    assert result.returncode == 1
    assert f"Port {getattr(house, which)}, which the {process} needs, is in use" in result.stderr
    assert f"(process {os.getpid()})" in result.stderr
    assert f"choose another port with {fix}" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not house.begun


@pytest.mark.parametrize("model", ["/nowhere/at/all", "./absent", "absent"])
def test_a_model_folder_that_is_not_there(house: House, model: str) -> None:
    result = house.up("--model", model)
    assert result.returncode != 0
    assert "no folder" in result.stderr or "no model folder" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (house.folder / ".praxis" / "engines").exists()


def test_a_model_folder_of_the_file_that_is_not_there(house: House) -> None:
    house.configure("absent")
    result = house.up()
    assert result.returncode == 1
    assert f"There is no model folder `{house.folder}/absent`" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_broken_file(house: House) -> None:
    (house.folder / "models.yaml").write_text("backends: [\n")
    result = house.up()
    assert result.returncode == 2
    assert "line" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_second_one_in_the_same_home(house: House) -> None:
    run = house.folder / ".praxis" / "run"
    run.mkdir(parents=True)
    with (run / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(str(os.getpid()))
        lock.flush()
        result = house.up()
    assert result.returncode == 1
    assert f"`praxis up` runs here already (process {os.getpid()})" in result.stderr
    assert "PRAXIS_HOME" in result.stderr
