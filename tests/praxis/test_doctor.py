"""`praxis doctor`: what is wrong is named with its fix, and only what is wrong makes it fail."""

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from praxis.cli import build
from tests.processes import free_port

MODELS = """
backends:
  local: {kind: vllm, replicas: [http://127.0.0.1:ENGINE], launch: {model: MODEL}}
models: {toy: {backend: local, upstream: toy}}
rag: {url: http://127.0.0.1:RAG}
"""


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Says how many GB are free, whatever this machine's disk is like; at first 100."""

    def free(gigabytes: float) -> None:
        usage = SimpleNamespace(free=gigabytes * 1e9)
        monkeypatch.setattr("praxis.doctor.shutil.disk_usage", lambda _: usage)

    free(100)
    return free


def examined(folder: Path, model: str = "smollm2", engine: int = 0, port: int = 0) -> tuple[int, str]:
    """Exit code and output of `praxis doctor` with free ports but those given."""
    text = MODELS.replace("ENGINE", str(engine or free_port())).replace("RAG", str(free_port()))
    file = folder / "models.yaml"
    file.write_text(text.replace("MODEL", model))
    arguments = ["--config", str(file), "--port", str(port or free_port()), "--ui-port", str(free_port())]
    result = CliRunner().invoke(build(), ["doctor", *arguments])
    return result.exit_code, result.output


def test_a_machine_that_only_lacks_what_make_up_brings_is_well(tmp_path: Path) -> None:
    code, output = examined(tmp_path)
    assert code == 0, output
    assert f"python   {sys.version.split()[0]}" in output
    assert "100 GB free" in output
    assert "is not installed" in output
    assert "smollm2 (smollm2-135m-instruct) is not there" in output
    assert "`make up` fetches it" in output


def test_a_disk_too_small_for_an_engine_is_named_with_the_fix(
    tmp_path: Path, disk: Callable[[float], None]
) -> None:
    disk(8)
    code, output = examined(tmp_path)
    assert code == 1
    assert "8 GB free" in output
    assert "free 12 GB, or set `PRAXIS_HOME`" in output


def test_a_missing_model_folder_is_named_with_the_fix(tmp_path: Path) -> None:
    code, output = examined(tmp_path, model="models/absent/one")
    assert code == 1
    assert f"there is no folder {tmp_path}/models/absent/one" in output
    assert "backends.local.launch.model" in output


def test_a_port_in_use_is_named_with_the_fix(tmp_path: Path, taken: int) -> None:
    code, output = examined(tmp_path, port=taken)
    assert code == 1
    assert f"{taken} for the gateway is in use" in output
    assert "`--port`" in output


def test_a_broken_file_is_told_as_everywhere(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("backends: {}\n")
    result = CliRunner().invoke(build(), ["doctor", "--config", str(file)])
    assert result.exit_code != 0
