"""Grounded requests go to the document process, with who asks; everything else goes to the engine."""

import json
from collections.abc import Iterator
from urllib.parse import unquote

import httpx
import pytest

from tests.fakes.faults import cut, slow
from tests.fakes.vllm import VLLM
from tests.gateway.asking import ask, house
from tests.gateway.conftest import Serve
from tests.processes import Gateway

SECRET = "Bearer rag-secret-0123456789"
SEARCH = {"type": "file_search", "vector_store_ids": ["vs_1"]}


@pytest.fixture
def rag() -> Iterator[VLLM]:
    """A server in the place of the document process: it answers to the assistant's name."""
    with VLLM("labour-law") as process:
        yield process


def with_assistant(engine: VLLM, rag: VLLM, **model: object) -> str:
    config = json.loads(house(engine, **model))
    config["rag"] = {"url": rag.url}
    config["assistants"] = {"labour-law": {"model": "law", "knowledge": ["labour-law"]}}
    return json.dumps(config)


@pytest.fixture
def running(gateway: Serve, engine: VLLM, rag: VLLM) -> Gateway:
    return gateway(with_assistant(engine, rag))


@pytest.mark.parametrize("stream", [True, False])
def test_an_assistant_is_answered_by_the_document_process(
    running: Gateway, engine: VLLM, rag: VLLM, stream: bool
) -> None:
    reply = ask(running, stream=stream, model="labour-law")
    assert reply.status == 200
    assert reply.headers["x-praxis-backend"] == "rag"
    assert engine.asked == []
    (seen,) = rag.asked
    assert seen.json["model"] == "labour-law"
    assert seen.header("authorization") == SECRET
    assert unquote(seen.header("x-praxis-tenant") or "") == "test-user"
    assert seen.header("x-praxis-role") == "user"
    assert seen.header("x-praxis-knowledge") == "*"


def test_a_slow_plain_answer_is_not_cut_by_the_first_event_limit(
    gateway: Serve, engine: VLLM, rag: VLLM
) -> None:
    running = gateway(with_assistant(engine, rag, timeouts={"idle": 0.3}))
    rag.script.next(slow(head=1.0))
    assert ask(running, model="labour-law").status == 200


def test_a_grounded_stream_that_breaks_ends_in_an_error(running: Gateway, rag: VLLM) -> None:
    rag.script.next(cut(2))
    reply = ask(running, stream=True, model="labour-law")
    assert reply.error is not None
    assert not reply.done


def test_an_assistant_only_chats(running: Gateway) -> None:
    reply = ask(running, path="/v1/completions", model="labour-law")
    assert reply.status == 400
    assert reply.error is not None
    assert "is an assistant" in reply.error["message"]


def test_file_search_on_any_model_is_grounded(running: Gateway, engine: VLLM, rag: VLLM) -> None:
    ask(running, model="law", tools=[SEARCH])
    assert [seen.json["tools"] for seen in rag.asked] == [[SEARCH]]
    assert engine.asked == []
    ask(running, model="law", tools=[{"type": "function", "function": {"name": "f"}}])
    assert len(engine.asked) == 1


def test_the_document_process_generates_through_the_gateway_but_asks_no_assistant(
    running: Gateway, engine: VLLM
) -> None:
    headers = {"authorization": SECRET, "x-praxis-tenant": "%E5%BE%8B%E6%89%80", "x-praxis-key": "key_1"}
    body = {"model": "law", "messages": [{"role": "user", "content": "hi"}]}
    with httpx.Client(base_url=running.url, headers=headers, timeout=30) as client:
        assert client.post("/v1/chat/completions", json=body).status_code == 200
        assert engine.asked[-1].header("x-praxis-tenant") is None
        looping = client.post("/v1/chat/completions", json=body | {"model": "labour-law"})
        assert looping.status_code == 400
        assert client.get("/admin/v1/keys").status_code == 403


def test_without_the_document_process_only_grounding_fails(gateway: Serve, engine: VLLM) -> None:
    config = json.loads(house(engine))
    config["rag"] = {"url": "http://127.0.0.1:9"}
    config["assistants"] = {"labour-law": {"model": "law", "knowledge": ["labour-law"]}}
    running = gateway(json.dumps(config))
    grounded = ask(running, model="labour-law")
    assert grounded.status == 503
    assert ask(running).status == 200
    files = httpx.get(
        f"{running.url}/v1/files", headers={"authorization": f"Bearer {running.user_key}"}, timeout=60
    )
    assert files.status_code == 503
    assert "praxis rag" in files.json()["error"]["message"]
