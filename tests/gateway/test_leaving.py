"""A client that goes away cancels the upstream request in every phase; one that reads slowly slows its own upstream."""

import json
import socket
import time

import psutil
import pytest

from tests.fakes import faults
from tests.fakes.engine import Deaf, Seen
from tests.fakes.faults import Fault
from tests.fakes.vllm import VLLM
from tests.gateway.asking import CHAT, MESSAGES, house, leaving
from tests.gateway.conftest import Serve
from tests.processes import Gateway, eventually

MIB = 1 << 20

WAITING: dict[str, Fault] = {
    "before-the-head": faults.silent(),
    "after-the-head": faults.slow(first=300),
    "head-late": faults.slow(head=300),
}


def reached(engine: VLLM) -> Seen:
    """The one request, once it is there."""
    seen: Seen = eventually(lambda: engine.asked and engine.asked[0], "the request reaches the engine")
    return seen


def gone(running: Gateway, request: Seen) -> None:
    """The engine sees its client go, and the gateway counts nothing any more."""
    eventually(lambda: request.left is not None, "the engine sees the client leave")
    eventually(running.idle, "nothing is in flight")


@pytest.mark.parametrize("name", WAITING)
def test_leaving_while_waiting(gateway: Serve, engine: VLLM, stream: bool, name: str) -> None:
    engine.script.next(WAITING[name])
    running = gateway(house(engine))
    with leaving(running, stream=stream):
        request = reached(engine)
        assert running.metric("praxis_inflight_requests") == 1
    gone(running, request)


def test_leaving_while_streaming(gateway: Serve, engine: VLLM) -> None:
    engine.says = (" word",) * 10_000
    engine.script.next(faults.slow(gap=0.05))
    running = gateway(house(engine))
    with leaving(running, after=b" word", stream=True):
        request = engine.asked[0]
        assert request.left is None
    gone(running, request)
    assert request.sent < 1 * MIB


def test_leaving_a_stream_that_has_stalled(gateway: Serve, engine: VLLM) -> None:
    engine.script.next(faults.cut(3, how="stall"))
    running = gateway(house(engine, timeouts={"idle": 300}))
    with leaving(running, after=b" pay", stream=True):
        request = engine.asked[0]
    gone(running, request)


def test_leaving_a_plain_reply_half_way(gateway: Serve, engine: VLLM) -> None:
    engine.script.next(Fault(edit=lambda parts: [parts[0][:40]], end="stall"))
    running = gateway(house(engine))
    with leaving(running):
        request = reached(engine)
        eventually(lambda: request.sent, "the engine has begun to answer")
    gone(running, request)


def test_leaving_while_connecting(gateway: Serve, stream: bool) -> None:
    with Deaf() as deaf:
        running = gateway(house(deaf, timeouts={"connect": 300}))
        with leaving(running, stream=stream):
            eventually(lambda: running.metric("praxis_inflight_requests"), "the request is in flight")
        eventually(running.idle, "nothing is in flight")


def test_leaving_does_not_count_against_the_replica(gateway: Serve, engine: VLLM, other: VLLM) -> None:
    running = gateway(house(engine, other))
    engine.script.next(*[faults.silent()] * 12)
    for before in range(12):
        with leaving(running):
            eventually(
                lambda before=before: len(engine.asked) + len(other.asked) > before, "an engine is asked"
            )
        eventually(running.idle, "nothing is in flight")
    assert running.metric("praxis_replica_breaker") == 0
    before = len(engine.asked), len(other.asked)

    def both_are_asked() -> bool:
        with leaving(running, after=b"150%"):
            return len(engine.asked) > before[0] and len(other.asked) > before[1]

    eventually(both_are_asked, "both replicas are asked again")


def test_a_request_that_is_never_finished_reaches_no_engine(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    with socket.create_connection(("127.0.0.1", running.port)) as connection:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {running.user_key}\r\ncontent-length: 100\r\n\r\n"
        connection.sendall(head.encode() + b'{"model"')
    eventually(running.idle, "nothing is in flight")
    assert not engine.asked


def test_a_slow_reader_slows_its_own_upstream(gateway: Serve, engine: VLLM) -> None:
    """Of a stream of 300 MB only what fits the buffers between is sent while the client reads nothing."""
    running = gateway(house(engine))
    event = faults.sse(
        {"id": "x", "model": "qwen", "choices": [{"index": 0, "delta": {"content": "x" * 30_000}}]}
    )
    engine.script.next(Fault(edit=lambda _: [event] * 10_000))
    process = psutil.Process(running.process.pid)
    before = process.memory_info().rss
    content = json.dumps({"model": "law", "messages": MESSAGES, "stream": True}).encode()
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {running.user_key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", running.port))
        connection.sendall(head.encode() + content)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        request = engine.asked[0]
        settled = eventually(lambda: still(request), "the engine is held back")
        assert settled < 100 * MIB
        assert process.memory_info().rss - before < 50 * MIB
        # The others are served as if nothing were.
        assert running.get("/v1/models").status_code == 200
        taken = 0
        while taken < 40 * MIB:
            taken += len(connection.recv(MIB))
        assert request.sent > settled
        assert process.memory_info().rss - before < 50 * MIB
    gone(running, request)


def still(request: Seen) -> int:
    """How much the engine has sent, once that does not grow any more; 0 while it does."""
    before = request.sent
    time.sleep(0.5)
    return before if request.sent == before else 0
