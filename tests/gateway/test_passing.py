"""Bytes pass through: what reaches the engine, and what comes back, are what was sent but for the few edits of the contract."""

import json
from typing import Any

import pytest

from tests.fakes import faults
from tests.fakes.engine import Seen
from tests.fakes.lightllm import LightLLM
from tests.fakes.vllm import VLLM
from tests.gateway.asking import CHAT, COMPLETIONS, MESSAGES, ask, house, send
from tests.gateway.conftest import Serve
from tests.processes import ENGINE_KEY

PATHS = pytest.mark.parametrize("path", [CHAT, COMPLETIONS])


def named(request: Seen, name: str) -> bytes:
    """The body that the engine set out to send, with the model's name as the client knows it."""
    return b"".join(request.parts).replace(b'"model":"qwen"', f'"model":"{name}"'.encode())


@PATHS
@pytest.mark.parametrize("name", ["law", "default"])
def test_a_plain_reply_is_the_engine_s_but_for_the_model_s_name(
    gateway: Serve, engine: VLLM, path: str, name: str
) -> None:
    reply = ask(gateway(house(engine)), path=path, model=name)
    assert reply.status == 200
    assert reply.raw == named(engine.asked[0], name)
    assert reply.text == "".join(engine.says)
    assert engine.asked[0].json["model"] == "qwen"


@PATHS
@pytest.mark.parametrize("name", ["law", "default"])
def test_a_stream_is_the_engine_s_to_the_byte_but_for_the_model_s_name(
    gateway: Serve, engine: VLLM, path: str, name: str
) -> None:
    options = {"include_usage": True}
    reply = ask(gateway(house(engine)), stream=True, path=path, model=name, stream_options=options)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.raw == named(engine.asked[0], name)
    assert reply.text == "".join(engine.says)
    assert reply.done


@pytest.mark.parametrize("step", [1, 7, 64])
def test_however_the_stream_is_split_the_bytes_are_the_same(gateway: Serve, engine: VLLM, step: int) -> None:
    engine.says = ("加班", "费是", "百分之一百五十", "。", "🙂")
    engine.script.always(faults.bytewise(step))
    reply = ask(gateway(house(engine)), stream=True, stream_options={"include_usage": True})
    assert reply.raw == named(engine.asked[0], "law")
    assert reply.text == "".join(engine.says)


def test_however_a_plain_reply_is_split_the_bytes_are_the_same(gateway: Serve, engine: VLLM) -> None:
    engine.says = ("加班费", "🙂") * 20
    engine.script.always(faults.bytewise(3))
    reply = ask(gateway(house(engine)))
    assert reply.raw == named(engine.asked[0], "law")


@PATHS
def test_a_usage_event_that_was_not_asked_for_is_dropped(
    gateway: Serve, engine: VLLM, lightllm: LightLLM, path: str
) -> None:
    for kind, asked in (("vllm", engine), ("lightllm", lightllm)):
        reply = ask(gateway(house(asked, kind=kind)), stream=True, path=path)
        chunks = [json.loads(event) for event in reply.events[:-1]]
        assert all(chunk["choices"] for chunk in chunks), kind
        assert not any(chunk.get("usage") for chunk in chunks), kind
        kept = [part for part in asked.asked[-1].parts if b'"choices":[]' not in part]
        expected = b"".join(kept).replace(b'"model":"qwen"', b'"model":"law"')
        assert reply.raw == expected, kind
        assert reply.done


@PATHS
def test_a_usage_event_that_was_asked_for_is_kept(
    gateway: Serve, engine: VLLM, lightllm: LightLLM, path: str
) -> None:
    for kind, asked in (("vllm", engine), ("lightllm", lightllm)):
        options = {"include_usage": True}
        reply = ask(gateway(house(asked, kind=kind)), stream=True, path=path, stream_options=options)
        last = json.loads(reply.events[-2])
        assert last["choices"] == [], kind
        assert last["usage"]["completion_tokens"] == len(asked.says), kind


def test_usage_on_an_event_with_choices_passes(gateway: Serve, engine: VLLM) -> None:
    event = faults.sse(
        {"id": "x", "model": "qwen", "choices": [{"index": 0, "delta": {}}], "usage": {"total_tokens": 3}}
    )
    engine.script.always(faults.inserted(event, 2))
    reply = ask(gateway(house(engine)), stream=True)
    assert event.replace(b'"qwen"', b'"law"') in reply.raw


def test_comments_pass_and_are_no_events(gateway: Serve, engine: VLLM) -> None:
    engine.script.next(faults.inserted(b": keep-alive\n\n", 0), faults.inserted(b": keep-alive\n\n", 3))
    running = gateway(house(engine))
    early, late = (ask(running, stream=True) for _ in range(2))
    assert b": keep-alive\n\n" in late.raw
    for reply in (early, late):
        assert reply.text == "".join(engine.says)
        assert reply.done


def test_the_model_s_name_inside_the_answer_is_left_alone(gateway: Serve, engine: VLLM) -> None:
    engine.says = ('{"model":"qwen"}', ' "model":"qwen" ', "qwen")
    running = gateway(house(engine))
    for stream in (False, True):
        assert ask(running, stream=stream).text == "".join(engine.says)


ODD = b"""{ "messages":[{"role":"user","content":"\\n\xe5\x8a\xa0\xe7\x8f\xad \xe8\xb4\xb9 \\"model\\":\\"law\\""}] ,
 "chat_template_kwargs": {"enable_thinking": false}, "top_k":20, "min_p":0.10, "seed":123456789012345678901234567890,
 "vllm_xargs": {"pi": 3.14159265358979323846}, "nobody_knows": [null, {}, [], 1e-7], "model" : "law" }"""


def test_what_the_gateway_does_not_know_reaches_the_engine_to_the_byte(gateway: Serve, engine: VLLM) -> None:
    reply = send(gateway(house(engine)), ODD)
    assert reply.status == 200
    assert engine.asked[0].body == ODD.replace(b'"law" }', b'"qwen" }')


NESTED: dict[str, Any] = {
    "tools": [
        {
            "type": "function",
            "function": {"name": "f", "parameters": {"properties": {"model": {"type": "string"}}}},
        }
    ],
    "chat_template_kwargs": {"model": "law", "enable_thinking": False},
    "metadata": {"\u0000model": "\u00e9"},
}


def test_a_model_that_is_not_the_request_s_own_is_left_alone(
    gateway: Serve, engine: VLLM, stream: bool
) -> None:
    assert ask(gateway(house(engine)), stream=stream, **NESTED).status == 200
    body = engine.asked[0].json
    assert {key: body[key] for key in NESTED} == NESTED
    assert body["model"] == "qwen"


@pytest.mark.parametrize(
    "body", [b'{"mod\\u0065l":"law","messages":[]}', b'{"model":"nobody","model":"law","messages":[]}']
)
def test_a_model_is_read_as_the_engine_would_read_it(gateway: Serve, engine: VLLM, body: bytes) -> None:
    send(gateway(house(engine)), body)
    assert engine.asked[0].json["model"] == "qwen"
    assert b"law" not in engine.asked[0].body


def test_images_reach_the_engine_untouched(gateway: Serve, engine: VLLM) -> None:
    picture = "data:image/png;base64," + "iVBORw0KGgo" * 200_000
    content = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": picture}}]
    messages = [{"role": "user", "content": content}]
    assert ask(gateway(house(engine)), messages=messages).status == 200
    assert engine.asked[0].json["messages"] == messages


def test_defaults_apply_where_the_request_is_silent(gateway: Serve, engine: VLLM, stream: bool) -> None:
    running = gateway(
        house(engine, defaults={"temperature": 0.1, "top_p": 0.9, "chat_template_kwargs": {"a": 1}})
    )
    ask(running, stream=stream)
    ask(running, stream=stream, temperature=0, chat_template_kwargs={"b": 2})
    silent, spoken = (request.json for request in engine.asked)
    assert (silent["temperature"], silent["top_p"], silent["chat_template_kwargs"]) == (0.1, 0.9, {"a": 1})
    assert (spoken["temperature"], spoken["top_p"], spoken["chat_template_kwargs"]) == (0, 0.9, {"b": 2})


def test_without_defaults_the_request_is_what_was_sent(gateway: Serve, engine: VLLM, stream: bool) -> None:
    ask(gateway(house(engine)), stream=stream, temperature=0.5)
    body = engine.asked[0].json
    body.pop("stream_options", None)
    expected = {"model": "qwen", "messages": MESSAGES, "temperature": 0.5} | (
        {"stream": True} if stream else {}
    )
    assert body == expected


def test_the_client_s_secrets_stay_here_and_the_backend_s_key_goes(
    gateway: Serve, engine: VLLM, stream: bool
) -> None:
    engine.api_key = ENGINE_KEY
    config = json.loads(house(engine))
    config["backends"]["local"]["api_key_env"] = "ENGINE_KEY"
    running = gateway(json.dumps(config))
    secrets = {
        "cookie": "session=cookie-secret",
        "proxy-authorization": "Basic proxy-secret",
        "x-api-key": "x-secret",
    }
    assert ask(running, stream=stream, headers=secrets).status == 200
    request = engine.asked[0]
    assert [value for name, value in request.headers if name == "authorization"] == [f"Bearer {ENGINE_KEY}"]
    every = repr(request.headers)
    assert running.user_key not in every
    assert not [secret for secret in ("cookie-secret", "proxy-secret", "x-secret") if secret in every]


def test_without_a_backend_key_no_authorization_reaches_the_engine(
    gateway: Serve, engine: VLLM, stream: bool
) -> None:
    ask(gateway(house(engine)), stream=stream, headers={"cookie": "a=b"})
    assert engine.asked[0].header("authorization") is None
    assert engine.asked[0].header("cookie") is None


def test_no_key_and_no_prompt_reaches_the_log(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    secret = "the-client-s-dismissal-letter"
    ask(running, messages=[{"role": "user", "content": secret}])
    engine.script.next(faults.status(500))
    ask(
        running,
        messages=[{"role": "user", "content": secret}],
        headers={"authorization": "Bearer sk-praxis-wrong-key"},
    )
    ask(running, messages=[{"role": "user", "content": secret}])
    log = running.log.read_text()
    assert not [word for word in (secret, running.user_key, "sk-praxis-wrong-key", ENGINE_KEY) if word in log]


def test_the_reply_says_who_answered(gateway: Serve, engine: VLLM, stream: bool) -> None:
    reply = ask(gateway(house(engine)), stream=stream, model="default")
    assert reply.headers["x-praxis-model"] == "law"
    assert reply.headers["x-praxis-backend"] == "local"


@pytest.mark.parametrize("given", ["case-42.a_b", "0b6e1d1c-1de4-4b52-8d3a-6f8e0e6a7a10"])
def test_a_short_clean_request_id_is_kept(gateway: Serve, engine: VLLM, stream: bool, given: str) -> None:
    reply = ask(gateway(house(engine)), stream=stream, headers={"x-request-id": given})
    assert reply.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["x" * 5000, "a b", 'a"b', "<script>", ""])
def test_any_other_request_id_is_replaced(gateway: Serve, engine: VLLM, stream: bool, given: str) -> None:
    reply = ask(gateway(house(engine)), stream=stream, headers={"x-request-id": given})
    assert reply.headers["x-request-id"] not in ("", given)
    assert len(engine.asked[0].header("x-request-id") or "") <= 200


def test_every_reply_has_a_request_id_of_its_own(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    replies = [ask(running), ask(running, stream=True), ask(running, model="nobody")]
    assert len({reply.headers["x-request-id"] for reply in replies}) == 3
    assert running.get("/nowhere").headers["x-request-id"]


def test_connections_to_the_engine_are_used_again(gateway: Serve, engine: VLLM, stream: bool) -> None:
    running = gateway(house(engine))
    for _ in range(10):
        assert ask(running, stream=stream).status == 200
    # A client may ask again before the engine has ended the answer that the client has whole; that takes another one.
    assert len({request.connection for request in engine.asked}) <= 3


def test_thinking_passes(gateway: Serve, engine: VLLM, lightllm: LightLLM) -> None:
    for kind, asked in (("vllm", engine), ("lightllm", lightllm)):
        asked.thinks = ("Let", " me", " see")
        running = gateway(house(asked, kind=kind))
        message = json.loads(ask(running).raw)["choices"][0]["message"]
        assert message["reasoning"] == "Let me see"
        deltas = [json.loads(event)["choices"][0]["delta"] for event in ask(running, stream=True).events[:-1]]
        assert "".join(delta.get("reasoning") or "" for delta in deltas) == "Let me see"


def test_lightllm_answers_under_the_name_that_was_asked(
    gateway: Serve, lightllm: LightLLM, stream: bool
) -> None:
    reply = ask(gateway(house(lightllm, kind="lightllm")), stream=stream, model="default")
    assert reply.text == "".join(lightllm.says)
    assert b'"model":"default"' in reply.raw
    assert b'"qwen"' not in reply.raw


@pytest.mark.parametrize("field", [{"logprobs": True}, {"min_p": 0.1}, {"structured_outputs": {"json": {}}}])
def test_what_lightllm_would_silently_ignore_is_refused(
    gateway: Serve, lightllm: LightLLM, field: dict[str, Any]
) -> None:
    reply = ask(gateway(house(lightllm, kind="lightllm")), **field)
    assert reply.status == 400
    assert reply.error is not None
    assert next(iter(field)) in reply.error["message"]
    assert not lightllm.asked


def test_an_engine_serves_embeddings(gateway: Serve) -> None:
    with VLLM("qwen", embeds=4) as engine:
        reply = gateway(house(engine)).post("/v1/embeddings", json={"model": "law", "input": ["a", "b"]})
        assert reply.status_code == 200
        assert reply.json()["model"] == "law"
        assert [len(item["embedding"]) for item in reply.json()["data"]] == [4, 4]
        assert engine.asked[0].json == {"model": "qwen", "input": ["a", "b"]}
