"""What /metrics tells of requests, measured from outside."""

import re
import time

from tests.fakes import faults
from tests.fakes.vllm import VLLM
from tests.gateway.asking import CHAT, MESSAGES, Reply, ask, house
from tests.gateway.conftest import Serve
from tests.processes import Gateway, eventually


def value(running: Gateway, sample: str) -> float:
    """One sample by its name and labels as they are written; 0 when there is none."""
    found = re.search(rf"^{re.escape(sample)} (\S+)$", running.get("/metrics", key=None).text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_gaps_of_a_stream_are_counted_and_the_largest_told(own_gateway: Serve, engine: VLLM) -> None:
    engine.says = (" word",) * 8
    gate = faults.Gate(2)
    engine.script.next(faults.held(gate))
    running = own_gateway(house(engine))
    began = time.monotonic()
    raw = b""
    body = {"model": "law", "messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}}
    headers = {"authorization": f"Bearer {running.user_key}"}
    with running.http.stream("POST", running.url + CHAT, json=body, headers=headers) as response:
        # Each event leaves the engine some time after the one before has come here, so that no two are read together.
        for piece in response.iter_raw():
            raw += piece
            time.sleep(0.06)
            gate.passing += 1
    reply = Reply(response.status_code, response.headers, raw, seconds=time.monotonic() - began)
    eventually(lambda: running.metric("praxis_requests_total") == 1, "the request has ended")
    gaps = running.metric("praxis_gap_seconds_count")
    assert len(reply.events) - 2 <= gaps <= len(reply.events)
    assert value(running, 'praxis_gap_seconds_bucket{le="0.05",model="law"}') <= 1
    assert 0.06 * (gaps - 1) <= running.metric("praxis_gap_seconds_sum") <= reply.seconds
    assert running.metric("praxis_largest_gap_seconds_count") == 1
    assert 0.06 <= running.metric("praxis_largest_gap_seconds_sum") <= reply.seconds
    # A reply that is no stream has no gaps.
    ask(running)
    assert running.metric("praxis_largest_gap_seconds_count") == 1


def test_errors_by_kind_and_backend_retries_and_tokens(own_gateway: Serve, engine: VLLM) -> None:
    running = own_gateway(house(engine, engine.url.replace("127.0.0.1", "localhost")))
    ask(running, model="nobody")
    assert value(running, 'praxis_errors_total{backend="",type="not_found_error"}') == 1
    engine.script.next(faults.status(500))
    assert ask(running).status == 200
    assert value(running, 'praxis_retries_total{backend="local"}') == 1
    assert value(running, 'praxis_tokens_total{kind="prompt",model="law"}') > 0
    assert value(running, 'praxis_tokens_total{kind="completion",model="law"}') > 0
    engine.script.next(faults.status(400))
    assert ask(running).status == 400
    assert value(running, 'praxis_errors_total{backend="local",type="invalid_request_error"}') == 1


def test_the_gateway_s_own_time_is_seen_below_a_millisecond(own_gateway: Serve, engine: VLLM) -> None:
    running = own_gateway(house(engine))
    for _ in range(20):
        ask(running)
    assert running.metric("praxis_overhead_seconds_count") == 20
    assert 0 < running.metric("praxis_overhead_seconds_sum") < 20
