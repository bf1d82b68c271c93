"""The fake vLLM is held to the real one: the same requests to both give the same shapes, statuses and texts."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.fakes.vllm import VLLM
from tests.processes import eventually

pytestmark = pytest.mark.chain

MESSAGES = [{"role": "user", "content": "hi"}]
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {
    "type": "object", "properties": {"article": {"type": "integer"}}, "required": ["article"]}}}]  # fmt: skip
CALL = '<tool_call>\n{"name": "look_up", "arguments": {"article": 44}}\n</tool_call>'
SCHEMA = {"type": "object", "properties": {"rate": {"enum": ["150 %", "200 %"]}}, "required": ["rate"],
          "additionalProperties": False}  # fmt: skip
FORMAT = {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": SCHEMA}}
NONSENSE = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": {"type": "nonsense"}}}
PICTURE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]
THOUGHT = [*MESSAGES, {"role": "assistant", "content": "b", "reasoning_content": "c"}, *MESSAGES]
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"


@pytest.fixture(scope="module")
def real(engine_url: str, engine_key: str) -> Iterator[httpx.Client]:
    """A client of the real engine."""
    with httpx.Client(base_url=engine_url, headers=bearer(engine_key), timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def card(real: httpx.Client) -> dict[str, Any]:
    """How the real engine describes its base model; the fake serves one of the same name and length."""
    cards: list[dict[str, Any]] = real.get("/v1/models").json()["data"]
    return next(card for card in cards if card["parent"] is None)


@pytest.fixture(scope="module")
def model(card: dict[str, Any]) -> str:
    """The base model's name."""
    return str(card["id"])


@pytest.fixture(scope="module")
def fake(card: dict[str, Any], engine_key: str) -> Iterator[httpx.Client]:
    """A client of the fake engine."""
    engine = VLLM(card["id"], max_model_len=card["max_model_len"], api_key=engine_key, multimodal=False)
    with engine, httpx.Client(base_url=engine.url, headers=bearer(engine_key), timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Untrained adapters for SmolLM2-135M, by rank."""
    numbers = np.random.default_rng(0)
    folders = {}
    for rank in (8, 512):
        folder = folders[rank] = tmp_path_factory.mktemp(f"rank-{rank}")
        config = {"peft_type": "LORA", "r": rank, "lora_alpha": 16, "target_modules": ["q_proj"],
                  "base_model_name_or_path": "smollm2", "task_type": "CAUSAL_LM"}  # fmt: skip
        (folder / "adapter_config.json").write_text(json.dumps(config))
        at = "base_model.model.model.layers.0.self_attn.q_proj"
        weights = {
            f"{at}.lora_A.weight": numbers.normal(size=(rank, 576)).astype("float32"),
            f"{at}.lora_B.weight": np.zeros((576, rank), "float32"),
        }
        save_file(weights, folder / "adapter_model.safetensors")
    return folders


def bearer(key: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"authorization": f"Bearer {key}".rstrip()}


def shape(value: Any) -> Any:
    """A JSON value by kinds: keys stay, null stays null, a list is its distinct shapes, for how many tokens there are is
    the model's affair, and so are the tokens that probabilities are listed by."""
    if isinstance(value, dict) and value and all(isinstance(each, float) for each in value.values()):
        return {"…": "float"}
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return distinct([shape(each) for each in value])
    return None if value is None else type(value).__name__


def distinct(shapes: list[Any]) -> list[Any]:
    """Each shape once, in order of first appearance."""
    return [each for index, each in enumerate(shapes) if each not in shapes[:index]]


def events(response: httpx.Response) -> list[Any]:
    """The events of a stream, parsed; `[DONE]` as it is."""
    assert response.text.endswith("\n\n")
    lines = response.text.removesuffix("\n\n").split("\n\n")
    assert all(line.startswith("data: ") for line in lines)
    return [line[6:] if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]


def kinds(response: httpx.Response) -> list[Any]:
    """The distinct shapes of a stream's events."""
    return distinct([event if isinstance(event, str) else shape(event) for event in events(response)])


PLAIN: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {"messages": MESSAGES, "max_tokens": 3}),
    (CHAT, {"messages": MESSAGES, "max_completion_tokens": 3, "n": 2, "nobody_knows": {"a": 1}}),
    (CHAT, {"messages": MESSAGES, "max_tokens": 3, "logprobs": True, "top_logprobs": 1}),
    (CHAT, {"messages": MESSAGES, "max_tokens": 3, "logprobs": True}),
    (
        CHAT,
        {"messages": MESSAGES, "max_tokens": 3, "guided_json": SCHEMA, "chat_template_kwargs": {"nobody": 1}},
    ),
    (CHAT, {"messages": THOUGHT, "max_tokens": 3}),
    (CHAT, {"messages": MESSAGES, "max_tokens": 3, "tools": TOOLS, "tool_choice": "none"}),
    (COMPLETIONS, {"prompt": "hi", "max_tokens": 3, "logprobs": 2}),
    (COMPLETIONS, {"prompt": "hi", "max_tokens": 3, "n": 2, "temperature": 0.7}),
    (COMPLETIONS, {"prompt": "hi", "max_tokens": 3}),
    (COMPLETIONS, {"prompt": ["hi", "there"], "max_tokens": 3}),
]


@pytest.mark.parametrize(("path", "body"), PLAIN)
def test_an_answer_has_the_real_one_s_shape(
    real: httpx.Client, fake: httpx.Client, model: str, path: str, body: dict[str, Any]
) -> None:
    theirs, ours = (
        client.post(path, json={"model": model, "ignore_eos": True, **body}) for client in (real, fake)
    )
    assert (ours.status_code, ours.headers["content-type"]) == (
        theirs.status_code,
        theirs.headers["content-type"],
    )
    assert shape(ours.json()) == shape(theirs.json())
    assert len(ours.json()["choices"]) == len(theirs.json()["choices"])
    assert list(ours.json()) == list(theirs.json())


STREAMS: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {"messages": MESSAGES}),
    (CHAT, {"messages": MESSAGES, "n": 2}),
    (CHAT, {"messages": MESSAGES, "stream_options": {"include_usage": True}}),
    (CHAT, {"messages": MESSAGES, "n": 2, "stream_options": {"include_usage": True}}),
    (CHAT, {"messages": MESSAGES, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}),
    (CHAT, {"messages": MESSAGES, "logprobs": True, "top_logprobs": 2}),
    (COMPLETIONS, {"prompt": "hi"}),
    (COMPLETIONS, {"prompt": "hi", "logprobs": 2}),
    (COMPLETIONS, {"prompt": "hi", "stream_options": {"include_usage": True}}),
]


@pytest.mark.parametrize(("path", "body"), STREAMS)
def test_a_stream_has_the_real_one_s_events(
    real: httpx.Client, fake: httpx.Client, model: str, path: str, body: dict[str, Any]
) -> None:
    asked = {"model": model, "stream": True, "max_tokens": 3, "ignore_eos": True, **body}
    theirs, ours = (client.post(path, json=asked) for client in (real, fake))
    assert (ours.status_code, ours.headers["content-type"]) == (
        theirs.status_code,
        theirs.headers["content-type"],
    )
    assert kinds(ours) == kinds(theirs)
    assert events(ours)[-1] == "[DONE]"


# The tiny model calls no tool by itself: it is held to the text of a call, and the engine's parser reads it as one.
WHOLE: list[dict[str, Any]] = [
    {"response_format": FORMAT},
    {"tools": TOOLS, "structured_outputs": {"choice": [CALL]}},
    {"tools": TOOLS, "structured_outputs": {"choice": [CALL]}, "stream_options": {"include_usage": True}},
]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("body", WHOLE, ids=["schema", "tool", "tool-usage"])
def test_an_answer_that_ends_by_itself_has_the_real_one_s_shape(
    real: httpx.Client, fake: httpx.Client, model: str, body: dict[str, Any], stream: bool
) -> None:
    asked = {
        "model": model,
        "messages": MESSAGES,
        "stream": stream,
        "max_tokens": 120,
        "temperature": 0,
        **body,
    }
    if not stream:
        asked.pop("stream_options", None)
    theirs, ours = (client.post(CHAT, json=asked) for client in (real, fake))
    assert theirs.status_code == ours.status_code == 200
    if stream:
        assert kinds(ours) == kinds(theirs)
        ends = [[each["choices"][0]["finish_reason"] for each in events(reply)[:-1] if each["choices"]][-1]
                for reply in (theirs, ours)]  # fmt: skip
    else:
        assert shape(ours.json()) == shape(theirs.json())
        ends = [reply.json()["choices"][0]["finish_reason"] for reply in (theirs, ours)]
    assert ends[0] == ends[1]


def test_what_goes_wrong_after_the_head_is_the_same_event(
    real: httpx.Client, fake: httpx.Client, model: str
) -> None:
    asked = {"model": model, "messages": MESSAGES, "stream": True, "response_format": NONSENSE}
    theirs, ours = (client.post(CHAT, json=asked) for client in (real, fake))
    assert (ours.status_code, ours.text) == (theirs.status_code, theirs.text)


def test_a_client_that_leaves_ends_its_request(real: httpx.Client, fake: httpx.Client, model: str) -> None:
    running = re.compile(r"^vllm:num_requests_running\{.*\} (\S+)$", re.MULTILINE)
    asked = {"model": model, "messages": MESSAGES, "stream": True, "max_tokens": 4000, "ignore_eos": True}
    for client in (real, fake):
        with client.stream("POST", CHAT, json=asked) as reply:
            next(reply.iter_raw())

        def idle(client: httpx.Client = client) -> bool:
            return sum(map(float, running.findall(client.get("/metrics").text))) == 0

        eventually(idle, "no request is running", within=60)


REFUSED: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {"messages": MESSAGES, "tools": []}),
    (CHAT, {"messages": MESSAGES, "tools": "x"}),
    (CHAT, {"messages": MESSAGES, "tool_choice": "auto"}),
    (CHAT, {"messages": MESSAGES, "tools": TOOLS, "tool_choice": "maybe"}),
    (
        CHAT,
        {
            "messages": MESSAGES,
            "tools": TOOLS,
            "tool_choice": {"type": "function", "function": {"name": "nobody"}},
        },
    ),
    (CHAT, {"messages": MESSAGES, "top_logprobs": 2}),
    (CHAT, {"messages": MESSAGES, "logprobs": True, "top_logprobs": 50}),
    (CHAT, {"messages": MESSAGES, "n": 0}),
    (CHAT, {"messages": MESSAGES, "n": "two"}),
    (CHAT, {"messages": MESSAGES, "n": 2, "temperature": 0}),
    (CHAT, {"messages": MESSAGES, "stream_options": {"include_usage": True}}),
    (CHAT, {"messages": MESSAGES, "reasoning_effort": "enormous"}),
    (CHAT, {"messages": MESSAGES, "chat_template_kwargs": "x"}),
    (CHAT, {"messages": MESSAGES, "temperature": "hot"}),
    (CHAT, {"messages": MESSAGES, "response_format": {"type": "json_schema"}}),
    (CHAT, {"messages": MESSAGES, "response_format": NONSENSE}),
    (CHAT, {"messages": [{"role": "user", "content": PICTURE}]}),
    (CHAT, {"messages": [{"role": "user", "content": "hi " * 9000}]}),
    (CHAT, {"messages": [{"role": "user", "content": "hi " * 9000}], "stream": True}),
    (CHAT, {"model": "nope", "messages": MESSAGES}),
    (CHAT, {"model": "nope", "messages": MESSAGES, "stream": True}),
    (CHAT, {"model": 3, "messages": MESSAGES}),
    (CHAT, {"messages": "hi"}),
    (CHAT, {"messages": None}),
    (CHAT, {"messages": 3}),
    (CHAT, {}),
    (CHAT, {"messages": []}),
    (CHAT, {"messages": MESSAGES, "max_tokens": 300_000}),
    (CHAT, {"messages": MESSAGES, "temperature": -1}),
    (COMPLETIONS, {"max_tokens": 1}),
    (LOAD, {"lora_name": "", "lora_path": ""}),
    (LOAD, {"lora_name": "fake-check"}),
    (LOAD, {"lora_name": "fake-check", "lora_path": "/nowhere/at/all"}),
    (LOAD, {"lora_name": "fake-check", "lora_path": "/tmp/nowhere/at-all"}),
    (UNLOAD, {"lora_name": "fake-check"}),
    (UNLOAD, {"lora_name": ""}),
    (UNLOAD, {}),
]


@pytest.mark.parametrize(("path", "body"), REFUSED)
def test_a_refusal_is_the_real_one_s_word_for_word(
    real: httpx.Client, fake: httpx.Client, model: str, path: str, body: dict[str, Any]
) -> None:
    given = {"model": model, **body} if path in (CHAT, COMPLETIONS) else body
    theirs, ours = (client.post(path, json=given) for client in (real, fake))
    assert (ours.status_code, ours.json()) == (theirs.status_code, theirs.json())


@pytest.mark.parametrize(("content", "kind"), [(b"{bad", "application/json"), (b"{}", "text/plain")])
def test_what_is_no_json_is_refused_alike(
    real: httpx.Client, fake: httpx.Client, content: bytes, kind: str
) -> None:
    headers = {"content-type": kind}
    theirs, ours = (client.post(CHAT, content=content, headers=headers) for client in (real, fake))
    assert (ours.status_code, ours.json()) == (theirs.status_code, theirs.json())


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nothing"), ("DELETE", "/v1/models"), ("POST", "/v1/embeddings")]
)
def test_what_is_not_there_is_missing_alike(
    real: httpx.Client, fake: httpx.Client, method: str, path: str
) -> None:
    theirs, ours = (client.request(method, path) for client in (real, fake))
    assert (ours.status_code, ours.json()) == (theirs.status_code, theirs.json())


@pytest.mark.parametrize("key", ["", "wrong"])
@pytest.mark.parametrize("path", ["/v1/models", CHAT, LOAD, "/v1/nothing", "/health", "/metrics"])
def test_a_wrong_key_is_refused_alike(real: httpx.Client, fake: httpx.Client, path: str, key: str) -> None:
    method = "POST" if path in (CHAT, LOAD) else "GET"
    theirs, ours = (client.request(method, path, headers=bearer(key), json={}) for client in (real, fake))
    assert ours.status_code == theirs.status_code
    if ours.status_code == 401:
        assert ours.json() == theirs.json()


def test_the_request_s_id_names_the_answer(real: httpx.Client, fake: httpx.Client, model: str) -> None:
    body = {"model": model, "messages": MESSAGES, "max_tokens": 1}
    headers = {"x-request-id": "abc-1"}
    assert {client.post(CHAT, json=body, headers=headers).json()["id"] for client in (real, fake)} == {
        "chatcmpl-abc-1"
    }


def test_health_and_the_shape_of_the_model_list_agree(real: httpx.Client, fake: httpx.Client) -> None:
    theirs, ours = (client.get("/health") for client in (real, fake))
    assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)
    theirs, ours = (client.get("/v1/models") for client in (real, fake))
    assert shape(ours.json()["data"][0]) == shape(theirs.json()["data"][0])


def test_the_metrics_that_the_fake_has_the_real_one_has_too(real: httpx.Client, fake: httpx.Client) -> None:
    names = re.compile(r"^(vllm:\w+)\{", re.MULTILINE)
    theirs, ours = (set(names.findall(client.get("/metrics").text)) for client in (real, fake))
    assert ours
    assert ours <= theirs


def test_an_adapter_s_life_is_the_same(
    real: httpx.Client, fake: httpx.Client, model: str, adapters: dict[int, Path]
) -> None:
    """Load, load again, load in place, load one that is too big, conflict, list, answer, unload, unload again."""
    lives = []
    for client in (real, fake):
        name = "fake-check"
        small = {"lora_name": name, "lora_path": str(adapters[8])}
        steps = [
            client.post(LOAD, json=small),
            client.post(LOAD, json=small),
            client.post(LOAD, json={**small, "load_inplace": True}),
            client.post(LOAD, json={"lora_name": "fake-big", "lora_path": str(adapters[512])}),
            client.post(LOAD, json={**small, "lora_name": model}),
        ]
        cards = client.get("/v1/models").json()["data"]
        card = next(card for card in cards if card["id"] == name)
        answer = client.post(CHAT, json={"model": name, "messages": MESSAGES, "max_tokens": 1})
        steps += [
            client.post(UNLOAD, json={"lora_name": name}),
            client.post(UNLOAD, json={"lora_name": name}),
        ]
        life = [(step.status_code, step.text) for step in steps]
        lives.append((life, shape(card), card["root"], card["parent"], answer.json()["model"]))
    assert lives[1] == lives[0]
    assert [code for code, _ in lives[0][0]] == [200, 400, 200, 500, 400, 200, 404]
