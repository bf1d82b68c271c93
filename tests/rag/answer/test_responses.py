"""Grounded answers as OpenAI's Responses API gives them: one object, or events in the order that its clients rely on."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import ResponseFileSearchToolCall, ResponseOutputMessage, ResponseOutputText
from pydantic import BaseModel

from tests.fakes.faults import cut, error_event, status
from tests.fakes.responses import events_of
from tests.fakes.vllm import VLLM
from tests.rag.answer.asking import ASKER, QUESTION, SAYS, SHOWN, TOOL
from tests.rag.answer.corpus import LABOUR
from tests.rag.answer.serving import Answering

FUNCTION = {"type": "function", "name": "look_up", "parameters": {"type": "object", "properties": {}}}
RESULTS: Any = ["file_search_call.results"]


@pytest.fixture
def client(answering: Answering) -> Iterator[openai.OpenAI]:
    """The SDK, holding every reply to the types that it declares."""
    with openai.OpenAI(
        base_url=answering.url,
        api_key="unused",
        max_retries=0,
        default_headers=ASKER,
        _strict_response_validation=True,
    ) as asking:
        yield asking


def post(answering: Answering, **body: Any) -> httpx.Response:
    asked = {"model": "labour", "input": QUESTION} | body
    return httpx.post(f"{answering.url}/responses", json=asked, headers=ASKER, timeout=60)


def events(answering: Answering, **body: Any) -> list[dict[str, Any]]:
    response = post(answering, stream=True, **body)
    assert response.headers["content-type"].startswith("text/event-stream")
    return events_of(response.text)


# a whole response


def test_an_assistant_answers_with_file_citations(client: openai.OpenAI, engine: VLLM) -> None:
    response = client.responses.create(
        model="labour", input=QUESTION, instructions="Be brief.", temperature=0.2, max_output_tokens=99,
        metadata={"matter": "7"},
    )  # fmt: skip
    assert (response.model, response.status, response.output_text) == ("labour", "completed", SHOWN)
    assert response.id.startswith("resp_")
    assert (response.metadata, response.temperature, response.max_output_tokens) == ({"matter": "7"}, 0.2, 99)
    search, message = response.output
    assert isinstance(search, ResponseFileSearchToolCall)
    assert (search.status, search.queries, search.results) == ("completed", [QUESTION], None)
    assert isinstance(message, ResponseOutputMessage)
    part: Any = message.content[0]
    (annotation,) = part.annotations
    assert (annotation.type, annotation.file_id, annotation.filename) == (
        "file_citation",
        "file-labour",
        "劳动法.txt",
    )
    assert part.text[annotation.index :].startswith(f"[{annotation.marker}]")
    assert annotation.url.endswith("tenant=clinic")
    (citation,) = part.citations
    assert (citation["article"], citation["verified"]) == ("第四十四条", True)
    assert citation["quote"] == LABOUR[citation["start"] : citation["end"]]
    assert part.unverified == []
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (31, len(SAYS))
    (seen,) = engine.asked
    assert {name: seen.json[name] for name in seen.json if name != "messages"} == {
        "model": "qwen", "temperature": 0.2, "max_completion_tokens": 99,
    }  # fmt: skip
    assert seen.json["messages"][0]["content"].startswith("Be brief.")
    assert seen.json["messages"][1:] == [{"role": "user", "content": QUESTION}]


def test_results_are_the_passages_in_the_order_of_their_markers(client: openai.OpenAI) -> None:
    search: Any = TOOL | {"max_num_results": 2}
    response = client.responses.create(model="qwen", input=QUESTION, tools=[search], include=RESULTS)
    call = response.output[0]
    assert isinstance(call, ResponseFileSearchToolCall)
    assert call.results is not None
    assert len(call.results) == 2
    best = call.results[0]
    assert (best.file_id, best.filename) == ("file-labour", "劳动法.txt")
    assert best.attributes == {"law": "中华人民共和国劳动法", "article": "第四十四条"}
    assert str(best.text) in LABOUR
    assert 0 <= (best.score or -1) <= 1


def test_a_conversation_is_sent_back_as_it_came(client: openai.OpenAI, engine: VLLM) -> None:
    first = client.responses.create(model="labour", input=QUESTION, include=RESULTS)
    history: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": QUESTION},
        *first.output,
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "那休息日呢？"}]},
    ]
    client.responses.create(model="labour", input=history)
    messages = engine.asked[-1].json["messages"]
    assert [each["role"] for each in messages] == ["system", "user", "assistant", "user"]
    assert messages[0]["content"].startswith("Be brief.")
    assert messages[-1]["content"] == "那休息日呢？"


def test_functions_are_called_beside_the_search(client: openai.OpenAI, engine: VLLM) -> None:
    engine.calls_tools = True
    tools: Any = [TOOL, FUNCTION]
    response = client.responses.create(
        model="qwen", input=QUESTION, tools=tools, tool_choice={"type": "function", "name": "look_up"}
    )
    (called,) = engine.asked
    assert called.json["tools"] == [
        {"type": "function", "function": {name: FUNCTION[name] for name in FUNCTION if name != "type"}}
    ]
    call: Any = response.output[-1]
    assert (call.type, call.name, call.status) == ("function_call", "look_up", "completed")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "300%"}
    history: Any = [{"role": "user", "content": QUESTION}, *response.output, result]
    client.responses.create(model="qwen", input=history, tools=tools)
    assistant, tool = engine.asked[-1].json["messages"][-2:]
    assert assistant["tool_calls"][0]["id"] == tool["tool_call_id"] == call.call_id
    assert tool["content"] == "300%"


def test_a_structured_answer_is_parsed(client: openai.OpenAI, engine: VLLM) -> None:
    class Pay(BaseModel):
        rate: int

    engine.says = ('{"rate": ', "300}")
    response = client.responses.parse(model="labour", input=QUESTION, text_format=Pay)
    assert response.output_parsed == Pay(rate=300)
    assert engine.asked[0].json["response_format"]["json_schema"]["name"] == "Pay"


def test_an_answer_that_was_cut_off_says_so(client: openai.OpenAI) -> None:
    response = client.responses.create(model="labour", input=QUESTION, max_output_tokens=2)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


# events


def test_the_events_come_in_the_order_that_clients_rely_on(answering: Answering) -> None:
    seen = events(answering, include=RESULTS)
    kinds = [event["type"].removeprefix("response.") for event in seen]
    deltas = kinds.count("output_text.delta")
    assert kinds == [
        "created", "in_progress",
        "output_item.added", "file_search_call.in_progress", "file_search_call.searching",
        "file_search_call.completed", "output_item.done",
        "output_item.added", "content_part.added", *["output_text.delta"] * deltas,
        "output_text.annotation.added", "output_text.done", "content_part.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    by_kind = {event["type"].removeprefix("response."): event for event in seen}
    assert by_kind["created"]["response"]["output"] == []
    final = by_kind["completed"]["response"]
    done = [event["item"] for event in seen if event["type"] == "response.output_item.done"]
    assert final["output"] == done
    assert len(final["output"][0]["results"]) == 4
    text = "".join(event["delta"] for event in seen if event["type"] == "response.output_text.delta")
    assert text == by_kind["output_text.done"]["text"] == SHOWN
    assert len({event["response"]["id"] for event in seen if "response" in event}) == 1
    assert final["usage"]["output_tokens"] == len(SAYS)
    whole = post(answering, include=RESULTS).json()
    varying = {"id", "created_at", "completed_at", "output"}
    assert {name: final[name] for name in final if name not in varying} == {
        name: whole[name] for name in whole if name not in varying
    }
    assert [json.dumps(item | {"id": ""}) for item in final["output"]] == [
        json.dumps(item | {"id": ""}) for item in whole["output"]
    ]


def test_no_marker_is_split_over_two_events(answering: Answering) -> None:
    texts = [event["delta"] for event in events(answering) if event["type"] == "response.output_text.delta"]
    assert all(text.count("[") == text.count("]") for text in texts)


def test_the_sdk_accumulates_the_events(client: openai.OpenAI) -> None:
    tool: Any = TOOL
    with client.responses.stream(model="qwen", input=QUESTION, tools=[tool]) as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert snapshots[-1] == final.output_text == SHOWN
    part = final.output[-1].content[0]  # type: ignore[union-attr]
    assert isinstance(part, ResponseOutputText)
    assert [each.type for each in part.annotations] == ["file_citation"]


def test_thinking_is_an_item_of_its_own(answering: Answering, engine: VLLM) -> None:
    engine.thinks = ("看", "第四十四条。")
    seen = events(answering)
    items = [event["item"] for event in seen if event["type"] == "response.output_item.done"]
    assert [item["type"] for item in items] == ["file_search_call", "reasoning", "message"]
    assert items[1]["content"] == [{"type": "reasoning_text", "text": "看第四十四条。"}]
    assert post(answering).json()["output"][1]["content"] == items[1]["content"]


def test_functions_are_called_in_events(answering: Answering, engine: VLLM) -> None:
    engine.calls_tools = True
    seen = events(answering, model="qwen", tools=[TOOL, FUNCTION])
    calls = [item for item in seen[-1]["response"]["output"] if item["type"] == "function_call"]
    for at, call in enumerate(calls, start=1):
        written = [
            event["delta"]
            for event in seen
            if event["type"] == "response.function_call_arguments.delta" and event["output_index"] == at
        ]
        assert "".join(written) == call["arguments"]
    assert len(calls) == 1


@pytest.mark.parametrize("fault", [cut(4), error_event(4)], ids=["cut", "error"])
def test_a_stream_that_breaks_ends_in_a_failed_response(
    answering: Answering, engine: VLLM, client: openai.OpenAI, fault: Any
) -> None:
    engine.script.next(fault, fault)
    *_, last = events(answering)
    assert last["type"] == "response.failed"
    assert last["response"]["status"] == "failed"
    assert last["response"]["error"]["code"] == "server_error"
    assert last["response"]["error"]["message"]
    with client.responses.stream(model="labour", input=QUESTION) as stream, pytest.raises(RuntimeError):
        stream.get_final_response()


@pytest.mark.parametrize("stream", [False, True])
def test_the_models_errors_keep_status_and_shape(answering: Answering, engine: VLLM, stream: bool) -> None:
    engine.script.next(status(503, "Queue full."))
    response = post(answering, stream=stream)
    assert response.status_code == 503
    assert response.json()["error"]["message"] == "Queue full."


# nothing to answer from


def test_without_evidence_it_says_so_and_asks_no_model(
    answering: Answering, client: openai.OpenAI, engine: VLLM
) -> None:
    response = client.responses.create(model="strict", input=QUESTION, include=RESULTS)
    assert "没有找到能支持回答的内容" in response.output_text
    assert isinstance(response.output[0], ResponseFileSearchToolCall)
    assert response.output[0].results == []
    assert response.usage is not None
    assert response.usage.total_tokens == 0
    final = events(answering, model="strict", include=RESULTS)[-1]["response"]
    assert final["output"][1]["content"][0]["text"] == response.output_text
    assert engine.asked == []


# bad requests


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": " "}, "input"),
        ({"input": [{"role": "assistant", "content": "x"}]}, "input"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input"),
        ({"input": [{"type": "computer_call"}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]}, "input"),
        ({"input": [{"role": "king", "content": "x"}]}, "input"),
        ({"instructions": 1}, "instructions"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [{"type": "file_search"}]}, "tools"),
        ({"tools": [TOOL | {"filters": {"type": "maybe"}}]}, "tools.filters"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"include": "file_search_call.results"}, "include"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"model": None}, "model"),
        ({"model": "qwen"}, "model"),
        ({"text": "plain"}, "text"),
    ],
)
def test_what_is_wrong_is_named(
    answering: Answering, engine: VLLM, change: dict[str, Any], param: str
) -> None:
    response = post(answering, **change)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert engine.asked == []


def test_explicit_nulls_are_what_is_left_out(client: openai.OpenAI) -> None:
    nulls: dict[str, Any] = dict.fromkeys(
        ("include", "instructions", "max_output_tokens", "metadata", "user")
    )
    response = client.responses.create(model="labour", input=QUESTION, extra_body=nulls | {"tools": []})
    assert response.output_text == SHOWN


def test_another_tenants_store_does_not_exist(client: openai.OpenAI) -> None:
    search: Any = {"type": "file_search", "vector_store_ids": ["vs_other"]}
    with pytest.raises(openai.NotFoundError, match="vs_other"):
        client.responses.create(model="qwen", input=QUESTION, tools=[search])
