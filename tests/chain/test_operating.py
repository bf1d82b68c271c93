"""What an operator relies on, on the real engine: the fleet in the terminal, limits, usage, the queue and the load."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from openai import RateLimitError

from tests.chain.conftest import MODEL, Stack
from tests.fakes.collector import Collector
from tests.gateway.asking import early_in_a_minute
from tests.processes import Gateway, eventually

pytestmark = pytest.mark.chain

HI = [{"role": "user", "content": "Count from one to twenty."}]


def test_status_shows_engine_replica_and_documents(stack: Stack) -> None:
    shown = stack.praxis("status")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    told = json.loads(stack.praxis("status", "--json").stdout)
    assert told["problems"] == []
    (backend,) = told["backends"]
    assert backend["name"] == "local"
    assert [replica["reachable"] for replica in backend["replicas"]] == [True]
    assert told["rag"]["state"] == "up"
    assert told["engines"]


def test_a_key_is_held_to_its_limits_and_its_usage_is_what_the_engine_counted(stack: Stack) -> None:
    early_in_a_minute(40)
    made = stack.praxis("keys", "create", "trial", "--rpm", "2", "--tpm", "100000")
    assert made.returncode == 0, made.stderr
    secret = next(word for word in made.stdout.split() if word.startswith("sk-praxis-"))
    client = stack.openai(secret)
    tokens = 0
    for left in ("1", "0"):
        reply = client.chat.completions.with_raw_response.create(
            model=MODEL,
            messages=HI,  # type: ignore[arg-type]
            max_tokens=8,
        )
        assert reply.headers["x-ratelimit-limit-requests"] == "2"
        assert reply.headers["x-ratelimit-remaining-requests"] == left
        usage = reply.parse().usage
        assert usage is not None
        tokens += usage.total_tokens
    with pytest.raises(RateLimitError) as refused:
        client.chat.completions.create(model=MODEL, messages=HI, max_tokens=8)  # type: ignore[arg-type]
    assert int(refused.value.response.headers["retry-after"]) >= 1

    def counted() -> bool:
        listed = json.loads(stack.praxis("keys", "usage", "--key", "trial", "--format", "json").stdout)
        return sum(row["total_tokens"] for row in listed) == tokens

    eventually(counted, "usage is what the engine counted")


def test_a_full_engine_is_queued_for_and_its_own_load_is_seen(
    tmp_path: Path, engine_url: str, engine_key: str
) -> None:
    backend = {
        "kind": "vllm",
        "replicas": [{"url": engine_url, "weight": 2}],
        "api_key_env": "CHAIN_ENGINE_KEY",
        "max_in_flight": 1,
        "queue": {"size": 8, "wait": 120},
    }
    config = {
        "backends": {"local": backend},
        "models": {MODEL: {"backend": "local", "upstream": MODEL}},
    }
    with (
        Collector() as collector,
        Gateway(
            tmp_path,
            json.dumps(config),
            CHAIN_ENGINE_KEY=engine_key,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_BSP_SCHEDULE_DELAY="100",
        ) as running,
    ):
        body = {"model": MODEL, "messages": HI, "max_tokens": 24, "stream": True}

        def ask(_: int) -> httpx.Response:
            return running.post("/v1/chat/completions", json=body, timeout=240)

        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(ask, each) for each in range(4)]
            eventually(
                lambda: running.metric("praxis_engine_requests") >= 1,
                "the engine's own load is seen",
                within=60,
            )
            assert running.metric("praxis_inflight_requests") <= 1
            replies = [each.result() for each in asking]
        assert [reply.status_code for reply in replies] == [200] * 4
        assert all(reply.text.endswith("data: [DONE]\n\n") for reply in replies)
        assert running.metric("praxis_queue_seconds_count") >= 1
        eventually(lambda: len(collector.spans) >= 4, "each request is a span")
