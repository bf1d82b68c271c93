"""Readiness, liveness, metrics, and how a process ends."""

import json
import re
import signal
import socket
import threading

import httpx
import pytest

from tests.fakes import faults
from tests.fakes.vllm import VLLM
from tests.gateway.asking import CHAT, MESSAGES, Reply, ask, house
from tests.gateway.conftest import Serve
from tests.processes import Gateway, eventually, free_port, praxis


def readiness(running: Gateway) -> httpx.Response:
    """What /readyz says, without a key."""
    return running.get("/readyz", key=None)


def test_alive_needs_no_key_and_no_engine(own_gateway: Serve) -> None:
    running = own_gateway(house(f"http://127.0.0.1:{free_port()}"))
    assert running.get("/healthz", key=None).status_code == 200


def test_ready_once_every_backend_has_answered_once(own_gateway: Serve, engine: VLLM, other: VLLM) -> None:
    config = json.loads(house(engine))
    config["backends"]["second"] = {"kind": "vllm", "replicas": [other.url]}
    other.refuse()
    running = own_gateway(json.dumps(config))
    eventually(lambda: engine.seen, "the first engine is probed")
    reply = readiness(running)
    assert reply.status_code == 503
    assert "second" in reply.text
    other.listen()
    eventually(lambda: readiness(running).status_code == 200, "the gateway is ready")
    # Ready once, an engine that goes is named but does not take the gateway away.
    other.refuse()
    eventually(lambda: "second" in readiness(running).text, "the lost backend is named")
    reply = readiness(running)
    assert reply.status_code == 200
    assert any("second" in each for each in reply.json()["degraded"])


def test_ready_after_the_time_that_the_file_gives(own_gateway: Serve) -> None:
    running = own_gateway(house(f"http://127.0.0.1:{free_port()}", server={"ready_after": 0.5}))
    eventually(
        lambda: readiness(running).status_code == 200, "the gateway is ready although its backend is down"
    )
    assert any("local" in each for each in readiness(running).json()["degraded"])


def test_metrics_are_prometheus_s_and_begin_with_praxis(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    ask(running)
    ask(running, stream=True)
    ask(running, model="nobody")
    reply = running.get("/metrics", key=None)
    assert reply.headers["content-type"].startswith("text/plain")
    names = {
        re.split(r"[{ ]", line)[0] for line in reply.text.splitlines() if line and not line.startswith("#")
    }
    assert [name for name in names if name.startswith("praxis_")]
    assert all(name.startswith(("praxis_", "python_", "process_")) for name in names)
    assert "praxis_inflight_requests" in names
    assert "nobody" not in reply.text
    assert running.user_key not in reply.text


class Streaming:
    """A stream read on a thread of its own."""

    def __init__(self, running: Gateway) -> None:
        self._running = running
        self.reply: Reply
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        self.reply = ask(self._running, stream=True)

    def end(self) -> Reply:
        """The whole reply."""
        self._thread.join(60)
        return self.reply


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_what_runs_then_exits_0(own_gateway: Serve, engine: VLLM, number: int) -> None:
    engine.says = (" word",) * 60
    gate = faults.Gate(10)
    engine.script.next(faults.held(gate))
    running = own_gateway(house(engine, server={"drain": 60}))
    eventually(lambda: readiness(running).status_code == 200, "the gateway is ready")
    streaming = Streaming(running)
    eventually(lambda: engine.asked and engine.asked[0].sent > 500, "the stream runs")
    running.process.send_signal(number)
    eventually(lambda: readiness(running).status_code == 503, "readiness fails while draining")
    gate.release()
    reply = streaming.end()
    assert reply.text == " word" * 60
    assert reply.done
    assert running.process.wait(60) == 0


def test_a_stop_ends_what_takes_too_long_with_an_error(own_gateway: Serve, engine: VLLM) -> None:
    engine.says = (" word",) * 10_000
    engine.script.next(faults.slow(gap=0.05))
    running = own_gateway(house(engine, server={"drain": 0.5}))
    streaming = Streaming(running)
    eventually(lambda: engine.asked and engine.asked[0].sent > 500, "the stream runs")
    running.process.terminate()
    reply = streaming.end()
    assert not reply.done
    assert reply.error is not None
    assert reply.error["message"]
    assert running.process.wait(60) == 0
    eventually(lambda: engine.asked[0].left is not None, "the engine is let go")


def test_a_stop_without_requests_is_quick(own_gateway: Serve, engine: VLLM) -> None:
    running = own_gateway(house(engine, server={"drain": 300}))
    ask(running)
    ask(running, stream=True)
    with socket.create_connection(("127.0.0.1", running.port)), httpx.Client(timeout=60) as client:
        assert client.get(f"{running.url}/healthz").status_code == 200
        running.process.terminate()
        assert running.process.wait(60) == 0


def test_a_port_in_use_is_one_sentence(own_gateway: Serve, engine: VLLM) -> None:
    running = own_gateway(house(engine))
    ended = praxis("gateway", "--config", str(running.file), "--port", str(running.port), cwd=running.folder)
    assert ended.returncode == 1
    assert f"{running.port}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_broken_file_is_refused_at_the_start(own_gateway: Serve, engine: VLLM) -> None:
    running = own_gateway(house(engine))
    (running.folder / "broken.yaml").write_text("models:\n  law: {backend: nowhere, upstream: x}\n")
    ended = praxis("gateway", "--config", "broken.yaml", "--port", str(free_port()), cwd=running.folder)
    assert ended.returncode == 2
    assert "backends" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_request_in_flight_keeps_the_configuration_that_it_began_with(
    gateway: Serve, engine: VLLM, other: VLLM
) -> None:
    engine.says = (" word",) * 20
    engine.script.next(faults.slow(gap=0.1))
    running = gateway(house(engine))
    streaming = Streaming(running)
    eventually(lambda: engine.asked and engine.asked[0].sent > 500, "the stream runs")
    running.configure(house(other, aliases=[]))
    reply = streaming.end()
    assert reply.text == " word" * 20
    assert reply.done
    assert b'"model":"law"' in reply.raw
    assert running.post(CHAT, json={"model": "law", "messages": MESSAGES}).status_code == 200
    assert (len(engine.asked), len(other.asked)) == (1, 1)
