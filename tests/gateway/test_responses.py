"""`/v1/responses` passed to an engine that has it: the hot path's rules, and OpenAI's own client at the end."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from praxis.keys import Quota
from tests.fakes.faults import cut, error_event, inserted, reset, sse, status
from tests.fakes.lightllm import LightLLM
from tests.fakes.responses import PATH, events_of
from tests.fakes.vllm import VLLM
from tests.gateway.asking import CHAT, Reply, ask, early_in_a_minute, house, send
from tests.gateway.conftest import Serve
from tests.processes import Gateway, eventually

INPUT = "How is overtime paid?"
SAYS = "Overtime pay is 150%。"


def respond(running: Gateway, headers: dict[str, str] | None = None, **body: Any) -> Reply:
    """Ask `law` for a response."""
    content = json.dumps({"model": "law", "input": INPUT} | body).encode()
    return send(running, content, path=PATH, headers=headers)


@pytest.fixture
def running(gateway: Serve, engine: VLLM) -> Gateway:
    return gateway(house(engine))


@pytest.fixture
def client(running: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.user_key, max_retries=0) as asking:
        yield asking


def test_the_sdk_gets_a_response(client: openai.OpenAI, engine: VLLM) -> None:
    response = client.responses.create(model="law", input=INPUT, instructions="Be brief.", temperature=0.5)
    assert (response.model, response.status, response.output_text) == ("law", "completed", SAYS)
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (31, 5)
    (seen,) = engine.asked
    assert seen.json == {
        "model": "qwen", "input": INPUT, "instructions": "Be brief.", "temperature": 0.5, "store": False,
    }  # fmt: skip


def test_the_sdk_streams_a_response(client: openai.OpenAI) -> None:
    with client.responses.stream(model="law", input=INPUT) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text == SAYS
    assert final.model == "law"


def test_a_stream_passes_event_by_event_under_the_public_name(running: Gateway, engine: VLLM) -> None:
    reply = respond(running, stream=True)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["x-praxis-backend"] == "local"
    events = events_of(reply.raw.decode())
    assert [event["type"] for event in events][:2] == ["response.created", "response.in_progress"]
    assert events[-1]["type"] == "response.completed"
    assert {event["response"]["model"] for event in events if "response" in event} == {"law"}
    # No option of another path's is made up for the engine.
    assert "stream_options" not in engine.asked[0].json


def test_defaults_have_their_names_of_this_path(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine, defaults={"max_tokens": 2, "temperature": 0.1}))
    body = json.loads(respond(running).raw)
    assert body["status"] == "incomplete"
    assert engine.asked[0].json["max_output_tokens"] == 2
    assert "max_tokens" not in engine.asked[0].json
    respond(running, max_output_tokens=3)
    assert engine.asked[1].json["max_output_tokens"] == 3


@pytest.mark.parametrize(
    ("field", "value", "instead"),
    [
        ("previous_response_id", "resp_1", "`input`"),
        ("conversation", {"id": "conv_1"}, "`input`"),
        ("background", True, "`stream`"),
        ("store", True, "keep the response yourself"),
        ("prompt", {"id": "pmpt_1"}, "`instructions`"),
    ],
)
def test_what_would_have_to_be_kept_is_refused(
    running: Gateway, engine: VLLM, field: str, value: Any, instead: str
) -> None:
    reply = respond(running, **{field: value})
    assert reply.status == 400
    assert reply.error is not None
    assert reply.error["param"] == field
    assert instead in reply.error["message"]
    assert engine.asked == []
    assert respond(running, **{field: None}).status == 200


def test_a_response_is_not_found_afterwards(client: openai.OpenAI) -> None:
    response = client.responses.create(model="law", input=INPUT)
    with pytest.raises(openai.NotFoundError, match="No response is kept here"):
        client.responses.retrieve(response.id)


def test_an_engine_without_it_is_named(gateway: Serve, lightllm: LightLLM) -> None:
    running = gateway(house(lightllm, kind="lightllm"))
    reply = respond(running)
    assert reply.status == 400
    assert reply.error is not None
    assert "`/v1/chat/completions`" in reply.error["message"]
    assert lightllm.asked == []
    assert ask(running, path=CHAT).status == 200


@pytest.mark.parametrize(
    "fault", [reset(), cut(0), cut(2), status(500)], ids=["reset", "nothing", "begun", "500"]
)
def test_a_failure_before_the_first_word_is_tried_elsewhere(
    gateway: Serve, engine: VLLM, other: VLLM, fault: Any
) -> None:
    """Engines say `response.created` before they begin to work; that is not yet an answer."""
    running = gateway(house(engine, other))
    engine.script.next(fault)
    reply = respond(running, stream=True)
    assert reply.status == 200
    assert [event["type"] for event in events_of(reply.raw.decode())][-1] == "response.completed"
    assert len(engine.asked) + len(other.asked) == 2


@pytest.mark.parametrize(
    "fault",
    [
        cut(6),
        cut(6, how="reset"),
        error_event(6),
        inserted(sse({"type": "error", "code": "500", "message": "The engine broke.", "param": None}), 6),
    ],
    ids=["cut", "reset", "error", "flat-error"],
)
def test_a_stream_that_breaks_is_no_success(client: openai.OpenAI, engine: VLLM, fault: Any) -> None:
    engine.script.next(fault)
    seen = []

    def read() -> None:
        for event in client.responses.create(model="law", input=INPUT, stream=True):
            seen.append(event.type)

    with pytest.raises(openai.APIError):
        read()
    assert "response.output_text.delta" in seen
    assert "response.completed" not in seen


def test_an_error_in_place_of_the_answer_has_a_status(running: Gateway, engine: VLLM) -> None:
    engine.script.next(
        inserted(
            sse({"type": "error", "code": 400, "message": "The picture is no picture.", "param": None}), 2
        )
    )
    reply = respond(running, stream=True)
    assert reply.status == 400
    assert reply.error is not None
    assert reply.error["message"] == "The picture is no picture."


def test_tokens_and_limits_are_those_of_chat(running: Gateway, engine: VLLM) -> None:
    early_in_a_minute()
    principal, secret = running.keys.create("responses", quota=Quota(rpm=2, tpm=10_000))
    headers = {"authorization": f"Bearer {secret}"}
    first = respond(running, headers=headers, max_output_tokens=100)
    estimated = int(first.headers["x-ratelimit-remaining-tokens"])
    assert 10_000 - 200 < estimated <= 10_000 - 100
    second = respond(running, headers=headers, stream=True)
    # What the first was charged in advance was corrected to what it used.
    assert int(second.headers["x-ratelimit-remaining-tokens"]) > estimated
    assert respond(running, headers=headers).status == 429
    params = {"key": principal.key_id, "by": "key"}

    def used() -> Any:
        return running.get("/admin/v1/usage", key=running.admin_key, params=params).json()["data"]

    (row,) = eventually(
        lambda: [each for each in used() if each["requests"] == 2 + each["errors"]], "both are counted"
    )
    assert (row["prompt_tokens"], row["completion_tokens"]) == (62, 10)
