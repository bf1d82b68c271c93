"""The whole way of a grounded answer, gateway → rag → gateway → engine: limited once, counted once, to the asker."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from praxis.keys import Quota
from tests.fakes.faults import Gate, held
from tests.fakes.vllm import VLLM
from tests.gateway.asking import ask, early_in_a_minute, leaving
from tests.processes import Gateway, eventually
from tests.rag.answer.corpus import Corpus, articles
from tests.rag.answer.serving import Answering

SAYS = ("法定休假日安排劳动者工作的，", "支付不低于工资的百分之三百", "的工资报酬[", "1", "]。")
BODY: dict[str, Any] = {
    "model": "labour",
    "messages": [{"role": "user", "content": "法定休假日加班，工资报酬怎么支付？"}],
}


@pytest.fixture(scope="module")
def engine() -> Iterator[VLLM]:
    with VLLM("qwen", says=SAYS) as running:
        yield running


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, engine: VLLM) -> Iterator[Gateway]:
    """A gateway and the answering route, each at the other's address."""
    corpus = Corpus()
    corpus.passages = articles()
    config: dict[str, Any] = {
        "backends": {"local": {"kind": "vllm", "replicas": [engine.url]}},
        "models": {"qwen": {"backend": "local", "upstream": "qwen"}},
        "assistants": {"labour": {"model": "qwen", "knowledge": ["labour-law"]}},
    }
    with Gateway(tmp_path_factory.mktemp("gateway"), json.dumps(config)) as gateway:
        folder = tmp_path_factory.mktemp("rag")
        with Answering(folder, gateway.url, corpus, "rag-secret-0123456789") as route:
            gateway.configure(json.dumps(config | {"rag": {"url": route.url.removesuffix("/v1")}}))
            yield gateway


def used(running: Gateway, key_id: str) -> dict[str, Any]:
    """What the key used, once both the request and its tokens are written."""

    def whole() -> list[dict[str, Any]]:
        asked = {"key": key_id, "by": "tenant,model,adapter"}
        rows = running.get("/admin/v1/usage", key=running.admin_key, params=asked).json()["data"]
        return list(rows) if any(each["requests"] and each["total_tokens"] for each in rows) else []

    (row,) = eventually(whole, "it is counted", within=60)
    return dict(row)


@pytest.mark.parametrize("stream", [False, True])
def test_a_grounded_answer_is_limited_and_counted_once(running: Gateway, engine: VLLM, stream: bool) -> None:
    early_in_a_minute()
    quota = Quota(rpm=1, concurrency=1)
    principal, secret = running.keys.create(f"asker-{stream}", tenant="clinic", quota=quota)
    headers = {"authorization": f"Bearer {secret}"}
    seen = len(engine.asked)
    reply = ask(running, stream=stream, headers=headers, **BODY)
    assert reply.status == 200, reply.raw
    assert "[1]" in reply.text
    assert len(engine.asked) == seen + 1
    prompt, completion = 31, len(SAYS)
    assert used(running, principal.key_id) == {
        "tenant": "clinic",
        "model": "labour",
        "adapter": "qwen",
        "requests": 1,
        "errors": 0,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    assert ask(running, headers=headers, **BODY).status == 429


def test_a_grounded_answer_that_its_asker_leaves_counts_what_was_said(running: Gateway, engine: VLLM) -> None:
    principal, secret = running.keys.create("leaver")
    engine.script.next(held(Gate(4)))
    with leaving(running, after=SAYS[0][:4].encode(), key=secret, stream=True, **BODY):
        pass
    row = used(running, principal.key_id)
    assert (row["requests"], row["errors"], row["adapter"]) == (1, 0, "qwen")
    assert row["prompt_tokens"] > 0
    assert 1 <= row["completion_tokens"] < len(SAYS)
