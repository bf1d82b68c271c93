"""Chat on the real engine, through the gateway, by raw HTTP and as the operator's first block promises."""

import json
import re
import subprocess
import sys

import httpx
import pytest

from tests.chain.conftest import MODEL, Stack
from tests.processes import environment

pytestmark = pytest.mark.chain

HI = [{"role": "user", "content": "Say hello."}]


def test_models_name_what_is_served(http: httpx.Client) -> None:
    cards = {card["id"]: card for card in http.get("/v1/models").json()["data"]}
    assert {MODEL, "default", "labour-law", "multilingual-e5-small"} <= set(cards)
    assert cards[MODEL]["max_model_len"] == 8192
    assert cards["labour-law"]["owned_by"] == "praxis-assistant"


def test_a_reply_carries_the_name_that_was_asked_for(http: httpx.Client) -> None:
    reply = http.post("/v1/chat/completions", json={"model": "default", "messages": HI, "max_tokens": 8})
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert body["model"] == "default"
    assert body["choices"][0]["message"]["content"].strip()
    assert body["usage"]["completion_tokens"] <= 8
    assert reply.headers["x-praxis-model"] == MODEL


def test_a_stream_ends_in_done_and_has_no_usage_that_nobody_asked_for(http: httpx.Client) -> None:
    body = {"model": MODEL, "messages": HI, "max_tokens": 8, "stream": True}
    events = http.post("/v1/chat/completions", json=body).text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert all(chunk["choices"] and chunk["model"] == MODEL for chunk in chunks)
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks).strip()


def test_unknown_fields_reach_the_engine(http: httpx.Client) -> None:
    body = {
        "model": MODEL,
        "prompt": "one two three",
        "max_tokens": 4,
        "top_k": 1,
        "logprobs": 1,
        "ignore_eos": True,
    }
    reply = http.post("/v1/completions", json=body).json()
    assert len(reply["choices"][0]["logprobs"]["tokens"]) == 4


def test_the_engines_own_refusal_comes_in_the_one_shape(http: httpx.Client) -> None:
    body = {"model": MODEL, "messages": HI, "max_tokens": 100_000}
    reply = http.post("/v1/chat/completions", json=body)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert "8192" in error["message"]


def test_embeddings_are_unit_vectors_in_order(http: httpx.Client) -> None:
    body = {"model": "multilingual-e5-small", "input": ["加班费", "合同解除"]}
    data = http.post("/v1/embeddings", json=body).json()["data"]
    assert [each["index"] for each in data] == [0, 1]
    for each in data:
        assert len(each["embedding"]) == 384
        assert sum(number * number for number in each["embedding"]) == pytest.approx(1, abs=1e-3)


def test_the_printed_snippets_work_when_pasted(stack: Stack) -> None:
    curl = re.search(r"^curl .*?\}'$", stack.output, re.DOTALL | re.MULTILINE)
    assert curl, stack.output
    answered = subprocess.run(["bash", "-c", curl[0]], capture_output=True, text=True, timeout=240)
    assert json.loads(answered.stdout)["choices"], answered.stdout
    python = re.search(r"^import os; from openai.*?\.content\)$", stack.output, re.DOTALL | re.MULTILINE)
    assert python, stack.output
    ran = subprocess.run(
        [sys.executable, "-c", python[0]], env=environment(), capture_output=True, text=True, timeout=240
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()
