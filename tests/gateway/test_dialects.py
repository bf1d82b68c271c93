"""Engines of three kinds behind one API: what each would do its own way looks the same, or is said."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import NotFoundError, OpenAI

from tests.fakes import faults
from tests.fakes.lightllm import LightLLM, stream_error
from tests.fakes.openai_server import OpenAIServer
from tests.fakes.vllm import VLLM
from tests.gateway.asking import CHAT, COMPLETIONS, MESSAGES, Reply, ask, house
from tests.gateway.conftest import Serve
from tests.gateway.test_adapters import peft
from tests.processes import ENGINE_KEY, Gateway, eventually

SCHEMA = {"type": "json_schema", "json_schema": {"name": "any", "schema": {"type": "object"}}}
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
IGNORED = "x-praxis-ignored"


def refused(reply: Reply, field: str) -> None:
    assert reply.status == 400
    assert reply.error is not None
    assert reply.error["type"] == "invalid_request_error"
    assert reply.error["param"] == field
    assert f"`{field}`" in reply.error["message"]
    assert "`law`" in reply.error["message"]


def refused_by_engine(reply: Reply, field: str | None) -> None:
    assert reply.status == 400
    assert reply.error is not None
    assert (reply.error["type"], reply.error["param"]) == ("invalid_request_error", field)


# What LightLLM would drop without a word

REFUSED: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {"logprobs": True}),
    (CHAT, {"top_logprobs": 2}),
    (CHAT, {"min_p": 0.1}),
    (CHAT, {"structured_outputs": {"json": {}}}),
    (CHAT, {"guided_json": {"type": "object"}}),
    (CHAT, {"guided_choice": ["yes", "no"]}),
    (CHAT, {"guided_regex": "a+"}),
    (CHAT, {"guided_grammar": "root ::= 'a'"}),
    (CHAT, {"response_format": SCHEMA}),
    (CHAT, {"response_format": {"type": "json_object"}}),
    (CHAT, {"stop_token_ids": [2]}),
    (CHAT, {"bad_words": ["no"]}),
    (CHAT, {"min_tokens": 5}),
    (CHAT, {"continue_final_message": True}),
    (CHAT, {"documents": [{"text": "x"}]}),
    (CHAT, {"functions": [{"name": "f"}]}),
    (COMPLETIONS, {"min_p": 0.1}),
    (COMPLETIONS, {"structured_outputs": {"regex": "a+"}}),
    (COMPLETIONS, {"response_format": {"type": "json_object"}}),
    (COMPLETIONS, {"logprobs": 1, "stream": True}),
    (COMPLETIONS, {"n": 2}),
]


@pytest.mark.parametrize(("path", "body"), REFUSED, ids=[next(iter(body)) for _, body in REFUSED])
def test_what_would_make_the_answer_another_one_is_refused(
    gateway: Serve, lightllm: LightLLM, path: str, body: dict[str, Any]
) -> None:
    reply = ask(gateway(house(lightllm, kind="lightllm")), path=path, **body)
    refused(reply, next(iter(body)))
    assert not lightllm.asked


HEEDED: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {"n": 2, "seed": 7, "top_k": 20, "repetition_penalty": 1.1, "user": "u", "stop": ["x"]}),
    (CHAT, {"chat_template_kwargs": {"enable_thinking": False}, "reasoning_effort": "low"}),
    (CHAT, {"tools": TOOLS, "tool_choice": "auto", "parallel_tool_calls": False}),
    (CHAT, {"logprobs": False, "top_logprobs": 0, "min_p": 0, "response_format": {"type": "text"}}),
    (CHAT, {"logprobs": None, "metadata": None, "structured_outputs": None}),
    (COMPLETIONS, {"logprobs": 1, "echo": True}),
]


@pytest.mark.parametrize(("path", "body"), HEEDED)
def test_what_lightllm_heeds_or_nobody_asked_for_passes_without_a_word(
    gateway: Serve, lightllm: LightLLM, path: str, body: dict[str, Any]
) -> None:
    reply = ask(gateway(house(lightllm, kind="lightllm")), path=path, **body)
    assert reply.status == 200
    assert IGNORED not in reply.headers
    assert {key: lightllm.asked[0].json[key] for key in body} == body


def test_what_goes_unheeded_without_harm_is_named(gateway: Serve, lightllm: LightLLM, stream: bool) -> None:
    given = {"metadata": {"a": "b"}, "service_tier": "auto", "include_reasoning": False}
    reply = ask(gateway(house(lightllm, kind="lightllm")), stream=stream, **given)
    assert reply.status == 200
    assert reply.headers[IGNORED] == "metadata, service_tier, include_reasoning"


def test_a_picture_that_lightllm_would_not_look_at_is_refused(gateway: Serve, lightllm: LightLLM) -> None:
    """With a model that sees none it answers as if there were no picture; with one that does it looks."""
    parts = [
        {"type": "text", "text": "?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
    ]
    messages = [{"role": "user", "content": parts}]
    refused(ask(gateway(house(lightllm, kind="lightllm")), messages=messages), "messages")
    assert not lightllm.asked
    running = gateway(house(lightllm, kind="lightllm", images=1))
    assert ask(running, messages=messages).status == 200
    assert lightllm.asked[0].json["messages"] == messages
    assert ask(running, messages=[{"role": "user", "content": parts[:1]}]).status == 200


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "look_up"}}])
def test_a_tool_that_must_be_called_is_only_offered(gateway: Serve, lightllm: LightLLM, choice: Any) -> None:
    reply = ask(gateway(house(lightllm, kind="lightllm")), tools=TOOLS, tool_choice=choice)
    assert reply.status == 200
    assert reply.headers[IGNORED] == "tool_choice"


def test_a_client_writes_no_header_by_the_names_of_its_fields(gateway: Serve, lightllm: LightLLM) -> None:
    odd = {"x\r\nset-cookie: a=b": 1, "naïve": 1, "": 1, "a" * 200: 1, "fine": 1}
    many = {f"field{number}": 1 for number in range(100)}
    reply = ask(gateway(house(lightllm, kind="lightllm")), **odd, **many)
    names = reply.headers[IGNORED].split(", ")
    assert names[0] == "fine"
    assert len(names) == 16
    assert "set-cookie" not in reply.headers


@pytest.mark.parametrize(
    "setting",
    [{"structured_outputs": True}, {"launch": {"model": "x", "output_constraint_mode": "xgrammar"}}],
)
def test_a_lightllm_that_holds_answers_to_a_schema_is_believed(
    gateway: Serve, setting: dict[str, Any], stream: bool
) -> None:
    with LightLLM(output_constraint_mode="xgrammar") as engine:
        config = json.loads(house(engine, kind="lightllm"))
        config["backends"]["local"] |= setting
        reply = ask(gateway(json.dumps(config)), stream=stream, response_format=SCHEMA)
        assert reply.status == 200
        assert json.loads(reply.text) == {}
        refused(ask(gateway(json.dumps(config)), structured_outputs={"json": {}}), "structured_outputs")


def test_vllm_is_asked_for_everything_and_what_it_gave_up_is_named(
    gateway: Serve, engine: VLLM, stream: bool
) -> None:
    given = {"min_p": 0.1, "guided_json": {"type": "object"}, "nobody": 1}
    reply = ask(gateway(house(engine)), stream=stream, **given)
    assert reply.status == 200
    assert reply.headers[IGNORED] == "guided_json"
    assert {key: engine.asked[0].json[key] for key in given} == given


def test_what_vllm_finds_wrong_names_the_field_as_the_client_wrote_it(
    gateway: Serve, engine: VLLM, stream: bool
) -> None:
    reply = ask(gateway(house(engine)), stream=stream, reasoning_effort="enormous")
    refused_by_engine(reply, "reasoning_effort")


def test_a_grammar_that_vllm_finds_wrong_after_the_head_is_400_too(
    gateway: Serve, engine: VLLM, stream: bool
) -> None:
    nonsense = {"type": "json_schema", "json_schema": {"name": "any", "schema": {"type": "nonsense"}}}
    refused_by_engine(ask(gateway(house(engine)), stream=stream, response_format=nonsense), None)
    assert len(engine.asked) == 1


# Fallbacks of another dialect


@pytest.fixture
def mixed(engine: VLLM, lightllm: LightLLM) -> str:
    """`law` on vLLM, falling back to LightLLM."""
    config = json.loads(house(engine, fallback=["spare"]))
    config["backends"]["other"] = {"kind": "lightllm", "replicas": [lightllm.url]}
    config["models"]["spare"] = {"backend": "other", "upstream": "qwen"}
    return json.dumps(config)


def test_a_fallback_that_would_ignore_the_request_is_passed_over(
    gateway: Serve, mixed: str, engine: VLLM, lightllm: LightLLM, stream: bool
) -> None:
    running = gateway(mixed)
    engine.refuse()
    assert ask(running, stream=stream).headers["x-praxis-backend"] == "other"
    assert ask(running, stream=stream, min_p=0.1).status == 503
    assert len(lightllm.asked) == 1
    engine.listen()

    def back() -> bool:
        return ask(running, stream=stream, min_p=0.1).status == 200

    eventually(back, "the first choice answers again")


def test_who_answers_says_what_it_ignored(
    gateway: Serve, mixed: str, engine: VLLM, lightllm: LightLLM
) -> None:
    running = gateway(mixed)
    assert IGNORED not in ask(running, service_tier="auto").headers
    engine.script.next(faults.status(500))
    reply = ask(running, service_tier="auto")
    assert reply.headers["x-praxis-backend"] == "other"
    assert reply.headers[IGNORED] == "service_tier"


# What LightLLM says in its own way


@pytest.mark.parametrize("held", [True, False], ids=["delayed-start", "early-start"])
def test_the_head_may_come_with_the_first_token_or_before(gateway: Serve, held: bool, stream: bool) -> None:
    with LightLLM(held=held) as engine:
        engine.script.always(faults.slow(first=0.4))
        running = gateway(house(engine, kind="lightllm", timeouts={"first_event": 5}))
        reply = ask(running, stream=stream)
        assert reply.text == "".join(engine.says)
        hasty = gateway(house(engine, kind="lightllm", timeouts={"first_event": 0.1}))
        assert ask(hasty, stream=True).status == 504


@pytest.mark.parametrize("held", [True, False], ids=["delayed-start", "early-start"])
def test_a_prompt_that_is_too_long_is_400_wherever_it_is_said(
    gateway: Serve, held: bool, stream: bool
) -> None:
    with LightLLM(held=held) as engine:
        running = gateway(house(engine, kind="lightllm"))
        messages = [{"role": "user", "content": "hi " * 5000}]
        reply = ask(running, stream=stream, messages=messages)
        assert reply.status == 400
        assert reply.error is not None
        assert reply.error["code"] == "context_length_exceeded"
        assert len(engine.asked) == 1, "nothing is gained by asking again"


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("Server is busy, please try again later", 503),
        ("prompt_ids is empty", 400),
        ("CUDA error: an illegal memory access", 502),
    ],
)
def test_an_error_as_the_first_event_is_what_its_words_say(
    gateway: Serve, lightllm: LightLLM, message: str, status: int
) -> None:
    lightllm.script.always(faults.Fault(edit=lambda _: [stream_error(message)]))
    reply = ask(gateway(house(lightllm, kind="lightllm")), stream=True)
    assert reply.status == status


@pytest.mark.parametrize("done", [True, False], ids=["done", "not-done"])
def test_an_error_in_mid_stream_is_never_a_whole_answer(
    gateway: Serve, lightllm: LightLLM, done: bool
) -> None:
    def broken(parts: list[bytes]) -> list[bytes]:
        return [*parts[:3], stream_error("CUDA error"), *([faults.DONE] if done else [])]

    lightllm.script.always(faults.Fault(edit=broken))
    reply = ask(gateway(house(lightllm, kind="lightllm")), stream=True)
    assert reply.status == 200
    assert not reply.done
    assert reply.error is not None
    assert "CUDA error" in reply.error["message"]


def test_a_lightllm_that_serves_another_model_is_told_on(gateway: Serve) -> None:
    with LightLLM("another") as engine:
        running = gateway(house(engine, kind="lightllm"))

        def degraded() -> Any:
            return running.get("/readyz").json().get("degraded")

        said = eventually(degraded, "the mismatch shows")
        assert said == ["model law: backend local serves another, not qwen"]
        assert ask(running).status == 200


# Any other server


@pytest.fixture
def hosted() -> Iterator[OpenAIServer]:
    """A hosted API that wants a key."""
    with OpenAIServer(api_key=ENGINE_KEY) as running:
        yield running


@pytest.fixture
def running(gateway: Serve, hosted: OpenAIServer) -> Gateway:
    """A gateway before it."""
    config = json.loads(house(hosted, kind="openai"))
    config["backends"]["local"]["api_key_env"] = "ENGINE_KEY"
    return gateway(json.dumps(config))


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize("usage", [False, True])
def test_any_server_s_answer_carries_the_name_that_was_asked_for(
    running: Gateway, hosted: OpenAIServer, path: str, usage: bool, stream: bool
) -> None:
    options = {"stream_options": {"include_usage": True}} if usage and stream else {}
    reply = ask(running, path=path, stream=stream, **options)
    assert reply.text == "".join(hosted.says)
    chunks = [json.loads(each) for each in reply.events[:-1]] if stream else [json.loads(reply.raw)]
    assert {chunk["model"] for chunk in chunks} == {"law"}
    assert b"2026-08-06" not in reply.raw
    assert not stream or reply.done


def embedded(running: Gateway) -> list[float]:
    """The vector that the SDK gets, packed and plain."""
    with OpenAI(base_url=f"{running.url}/v1", api_key=running.user_key, max_retries=0) as client:
        packed = client.embeddings.create(model="law", input=["a", "b"])
        plain = client.embeddings.create(model="law", input="a", encoding_format="float")
    assert packed.model == plain.model == "law"
    assert [item.embedding for item in packed.data] == [plain.data[0].embedding] * 2
    return plain.data[0].embedding


def test_embeddings_come_by_the_sdk(running: Gateway, gateway: Serve, lightllm: LightLLM) -> None:
    assert embedded(running) == [0.5] * 4
    with VLLM("qwen", embeds=4) as engine:
        assert embedded(gateway(house(engine))) == [1, 0, 0, 0]
    with pytest.raises(NotFoundError):
        embedded(gateway(house(lightllm, kind="lightllm")))


@pytest.mark.parametrize(("says", "gets"), [(401, 502), (402, 502), (403, 502), (429, 429), (503, 503)])
def test_the_operator_s_troubles_are_not_the_client_s(
    running: Gateway, hosted: OpenAIServer, says: int, gets: int, stream: bool
) -> None:
    hosted.script.always(faults.status(says, "No."))
    reply = ask(running, stream=stream)
    assert reply.status == gets
    assert reply.error is not None
    assert says != 429 or reply.error["code"] == "insufficient_quota"


def test_nothing_is_refused_on_behalf_of_a_server_that_nobody_knows(
    running: Gateway, hosted: OpenAIServer
) -> None:
    given = {"logprobs": True, "min_p": 0.1, "guided_json": {}, "response_format": SCHEMA, "nobody": 1}
    reply = ask(running, **given)
    assert reply.status == 200
    assert IGNORED not in reply.headers
    assert {key: hosted.asked[0].json[key] for key in given} == given


# Thinking


def test_a_long_plain_reply_is_edited_whole(gateway: Serve, engine: VLLM) -> None:
    engine.says = ("<think>", "hm " * 400_000, "</think>", "\n\nIt pays 150%.")
    running = gateway(house(engine, thinking={"field": "reasoning_content", "lift": True}))
    message = json.loads(ask(running).raw)["choices"][0]["message"]
    assert message["content"] == "It pays 150%."
    assert message["reasoning_content"] == ("hm " * 400_000).strip()


@pytest.mark.parametrize("step", [1, 7, 64])
def test_lifted_thinking_is_the_same_however_the_bytes_arrive(
    gateway: Serve, engine: VLLM, step: int
) -> None:
    engine.says = ("<thi", "nk>加", "班🙂", "</th", "ink>\n\n", "It", " pays", " <b>150%")
    engine.script.always(faults.bytewise(step))
    running = gateway(house(engine, thinking={"field": "both", "lift": True}))
    reply = ask(running, stream=True)
    assert reply.text == "It pays <b>150%"
    deltas = [json.loads(event)["choices"][0]["delta"] for event in reply.events[:-1]]
    for name in ("reasoning", "reasoning_content"):
        assert "".join(delta.get(name) or "" for delta in deltas) == "加班🙂"
    assert reply.done


def test_what_waits_is_not_lost_when_the_stream_ends_early(gateway: Serve, engine: VLLM) -> None:
    engine.says = ("It", " pays")
    engine.script.always(faults.Fault(edit=lambda parts: [*parts[:3], faults.DONE]))
    running = gateway(house(engine, thinking={"lift": True}))
    reply = ask(running, stream=True)
    assert reply.text == "It pays"
    assert reply.done


def test_thinking_that_is_sent_back_reaches_the_engine_as_it_is(gateway: Serve, engine: VLLM) -> None:
    said = {"role": "assistant", "content": "150%.", "reasoning": "hm", "reasoning_content": "hm"}
    messages = [*MESSAGES, said, *MESSAGES]
    running = gateway(house(engine, thinking={"field": "reasoning_content", "lift": True}))
    assert ask(running, messages=messages).status == 200
    assert engine.asked[0].json["messages"] == messages


def test_an_adapter_thinks_as_its_base_is_configured(gateway: Serve, engine: VLLM, tmp_path: Path) -> None:
    config = json.loads(house(engine, thinking={"field": "reasoning_content"}))
    config["server"]["adapter_roots"] = [str(tmp_path)]
    config["adapters"] = {"thinker": {"base": "law", "source": str(peft(tmp_path / "thinker"))}}
    engine.thinks = ("hm",)
    running = gateway(json.dumps(config))
    eventually(lambda: ask(running, model="thinker").status == 200, "the adapter is loaded")
    message = json.loads(ask(running, model="thinker").raw)["choices"][0]["message"]
    assert message["reasoning_content"] == "hm"


def test_completions_have_no_thinking(gateway: Serve, engine: VLLM, stream: bool) -> None:
    engine.says = ("<think>", "hm", "</think>")
    running = gateway(house(engine, thinking={"lift": True}))
    assert ask(running, stream=stream, path=COMPLETIONS).text == "<think>hm</think>"
