"""`python -m ui` as a process."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from tests.processes import environment, eventually, free_port, gone


def start(port: int, folder: Path) -> "subprocess.Popen[bytes]":
    command = [
        sys.executable,
        "-m",
        "ui",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--config",
        "models.yaml",
    ]
    return subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/_stcore/health").is_success
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    port = free_port()
    with start(port, tmp_path) as process:
        eventually(lambda: healthy(port), "the pages answer", within=60)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        assert process.wait(60) == 0
        eventually(lambda: gone(children), "no process is left")


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with start(port, tmp_path) as process:
            _, complaint = process.communicate(timeout=60)
    assert process.returncode == 1
    assert complaint.decode().splitlines() == [
        f"`127.0.0.1:{port}` is in use: stop what listens there, or choose another `--port`."
    ]
