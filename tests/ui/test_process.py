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


def start(port: int, folder: Path, **variables: str) -> "subprocess.Popen[bytes]":
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
        command, cwd=folder, env=environment() | variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
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


def opened(port: int, host: str, origin: str) -> int:
    """The status that the pages' WebSocket gets, asked for under these names."""
    head = (
        f"GET /_stcore/stream HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
        "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: streamlit\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head.encode())
        return int(connection.recv(4096).split()[1])


def test_the_pages_open_under_their_own_names_alone(tmp_path: Path) -> None:
    port = free_port()
    here, public, other = f"127.0.0.1:{port}", "praxis.example.org", "other.example.org"
    with start(port, tmp_path, PRAXIS_UI_URL=f"https://{public}/") as process:
        eventually(lambda: healthy(port), "the pages answer", within=60)
        assert opened(port, here, f"http://{here}") == 101
        assert opened(port, public, f"https://{public}") == 101
        assert opened(port, other, f"https://{other}") == 403
        assert opened(port, public, f"https://{other}") == 403
        process.terminate()
        assert process.wait(60) == 0


def test_a_public_address_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    with start(free_port(), tmp_path, PRAXIS_UI_URL="praxis.example.org") as process:
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 1
    assert complaint.decode().startswith("`PRAXIS_UI_URL` names `praxis.example.org`: give where people")
