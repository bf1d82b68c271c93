"""`praxis status`, as an operator types it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from tests.fakes import faults
from tests.fakes.vllm import VLLM
from tests.gateway.asking import house, leaving
from tests.gateway.conftest import Serve
from tests.processes import Gateway, environment, eventually, free_port, praxis


def status(running: Gateway, *arguments: str, key: str | None = None) -> "subprocess.CompletedProcess[str]":
    """Run it against this gateway with its admin key."""
    given = running.admin_key if key is None else key
    return praxis("status", "--url", running.url, *arguments, cwd=running.folder, PRAXIS_API_KEY=given)


def reachable(running: Gateway) -> list[bool]:
    """Of each replica, whether it can be reached."""
    told = running.get("/admin/v1/status", key=running.admin_key).json()
    return [replica["reachable"] for backend in told["backends"] for replica in backend["replicas"]]


def ready(running: Gateway) -> bool:
    """Whether every backend has been asked."""
    return running.get("/readyz", key=None).json() | {"generation": 0} == {
        "status": "ready",
        "degraded": [],
        "generation": 0,
    }


def _well(shown: "subprocess.CompletedProcess[str]") -> "subprocess.CompletedProcess[str] | None":
    return None if shown.returncode else shown


def test_the_fleet_is_shown_and_all_is_well(tmp_path: Path, engine: VLLM, other: VLLM) -> None:
    with Gateway(tmp_path, house(engine, other), "--workers", "2") as running:
        eventually(lambda: other.seen and ready(running), "every engine was asked")
        # The other worker may have asked them a moment later.
        shown = eventually(lambda: _well(status(running)), "all is well")
        assert "2 of 2 workers" in shown.stdout
        for each in (engine.url, other.url, "local", "vllm", "qwen", "up", "All is well"):
            assert each in shown.stdout
        assert shown.stderr == ""


def test_what_is_down_is_named_and_fails(gateway: Serve, engine: VLLM, other: VLLM) -> None:
    running = gateway(house(engine, other))
    eventually(lambda: ready(running) and engine.seen and other.seen, "both were asked")
    other.refuse()
    eventually(lambda: not all(reachable(running)), "the lost replica is noticed")
    shown = status(running)
    assert shown.returncode == 1
    assert f"local at {other.url} is down" in shown.stdout
    assert "All is well" not in shown.stdout


def test_requests_in_flight_are_counted(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    engine.script.next(faults.silent())
    with leaving(running):
        eventually(lambda: engine.asked, "the engine has it")
        replica = json.loads(status(running, "--json").stdout)["backends"][0]["replicas"][0]
    assert (replica["url"], replica["in_flight"]) == (engine.url, 1)


def test_a_gateway_that_cannot_be_reached_is_one_sentence(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    shown = praxis("status", "--url", url, cwd=tmp_path)
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr.startswith(f"The gateway at `{url}` cannot be reached")
    assert len(shown.stderr.splitlines()) == 1


def test_it_takes_an_admin_key(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    stranger = status(running, key="sk-praxis-stranger")
    assert (stranger.returncode, "PRAXIS_API_KEY" in stranger.stderr) == (1, True)
    user = status(running, "--key", running.user_key)
    assert (user.returncode, "admin key" in user.stderr) == (1, True)


def test_watching_looks_again_and_ends_with_the_last_state(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    eventually(lambda: ready(running), "the engine was asked")
    command = [sys.executable, "-m", "praxis", "status", "--watch", "--json", "--url", running.url]
    with subprocess.Popen(
        command,
        cwd=running.folder,
        env=environment(PRAXIS_API_KEY=running.admin_key, PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
    ) as watching:
        assert watching.stdout is not None
        assert [json.loads(watching.stdout.readline())["problems"] for _ in range(2)] == [[], []]
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 0
