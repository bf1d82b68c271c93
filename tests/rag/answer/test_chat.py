"""Grounded chat completions over HTTP, with the clients that people use, before a model that says what it is told."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel

from tests.fakes.faults import cut, error_event, inserted, silent, slow, sse, status, without_done
from tests.fakes.vllm import VLLM
from tests.processes import eventually
from tests.rag.answer.asking import ASKED, ASKER, QUESTION, SAYS, SHOWN, TOOL, TRACE
from tests.rag.answer.corpus import LABOUR, Corpus, hostile
from tests.rag.answer.serving import Answering


@pytest.fixture
def client(answering: Answering) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=answering.url, api_key="unused", max_retries=0, default_headers=ASKER
    ) as asking:
        yield asking


def post(answering: Answering, **body: Any) -> httpx.Response:
    asked = {"model": "labour", "messages": ASKED} | body
    return httpx.post(f"{answering.url}/chat/completions", json=asked, headers=ASKER, timeout=60)


def chunks(response: httpx.Response) -> list[Any]:
    """The events of a stream, `[DONE]` as it stands; the last blank line is there."""
    assert response.text.endswith("\n\n")
    events = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    return [event if event == "[DONE]" else json.loads(event) for event in events]


def deltas(response: httpx.Response) -> list[dict[str, Any]]:
    return [
        chunk["choices"][0]["delta"] for chunk in chunks(response) if chunk != "[DONE]" and chunk["choices"]
    ]


# a whole answer


def test_an_assistant_answers_with_citations(client: openai.OpenAI, engine: VLLM) -> None:
    completion = client.chat.completions.create(model="labour", messages=ASKED, temperature=0.2)
    message: Any = completion.choices[0].message
    assert completion.model == "labour"
    assert message.content == SHOWN
    (citation,) = message.citations
    assert citation["marker"] == 1
    assert citation["law"] == "中华人民共和国劳动法"
    assert citation["article"] == "第四十四条"
    assert citation["quote"] == LABOUR[citation["start"] : citation["end"]]
    assert citation["verified"] is True
    (annotation,) = message.annotations
    assert annotation.url_citation.title == "《劳动法》第四十四条"
    assert annotation.url_citation.url.endswith(
        f"start={citation['start']}&end={citation['end']}&tenant=clinic"
    )
    assert message.content[annotation.url_citation.start_index : annotation.url_citation.end_index] == "[1]"
    assert message.unverified == []
    assert completion.usage is not None
    assert completion.usage.completion_tokens == len(SAYS)


def test_the_model_sees_the_passages_and_the_clients_own_fields(client: openai.OpenAI, engine: VLLM) -> None:
    history: list[Any] = [
        {"role": "user", "content": "你好"},
        {"role": "assistant", "content": "您好"},
        *ASKED,
    ]
    client.chat.completions.create(
        model="labour", messages=history, temperature=0.2, seed=3,
        extra_body={"top_k": 5, "chat_template_kwargs": {"enable_thinking": False}},
    )  # fmt: skip
    request = engine.asked[-1]
    body = request.json
    assert body["model"] == "qwen"
    assert body["messages"][1:] == history
    assert "[1] 《劳动法》第四十四条" in body["messages"][0]["content"]
    assert {name: body[name] for name in body if name not in ("model", "messages")} == {
        "temperature": 0.2, "seed": 3, "top_k": 5, "chat_template_kwargs": {"enable_thinking": False},
    }  # fmt: skip
    assert request.header("authorization") == "Bearer rag-secret"
    assert request.header("x-praxis-tenant") == "clinic"
    assert request.header("x-praxis-key") == "key_1"
    assert request.header("x-praxis-asked") == "labour"
    assert {name: request.header(name) for name in TRACE} == TRACE


def test_an_assistants_own_settings_apply(client: openai.OpenAI, engine: VLLM) -> None:
    client.chat.completions.create(model="terse", messages=ASKED)
    client.chat.completions.create(model="terse", messages=ASKED, max_completion_tokens=9)
    first, second = (request.json for request in engine.asked)
    system = first["messages"][0]["content"]
    assert system.startswith("Be terse.")
    assert "in English" in system
    assert "\n[1] " in system
    assert "\n[2] " not in system
    assert first["max_tokens"] == 7
    assert "max_tokens" not in second


def test_file_search_grounds_any_model(client: openai.OpenAI, engine: VLLM) -> None:
    function = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    search = TOOL | {"max_num_results": 2}
    completion = client.chat.completions.create(model="qwen", messages=ASKED, tools=[search, function])  # type: ignore[list-item]
    assert completion.model == "qwen"
    assert completion.choices[0].message.content == SHOWN
    body = engine.asked[0].json
    assert body["tools"] == [function]
    assert "\n[2] " in body["messages"][0]["content"]
    assert "\n[3] " not in body["messages"][0]["content"]


def test_the_only_tool_leaves_no_trace(answering: Answering, engine: VLLM) -> None:
    post(answering, model="qwen", tools=[TOOL], tool_choice="required", parallel_tool_calls=False)
    assert engine.asked[0].json.keys() == {"model", "messages"}


def test_filters_and_threshold_of_file_search(answering: Answering, engine: VLLM) -> None:
    filters = {"type": "eq", "key": "article", "value": "第五十条"}
    post(answering, model="qwen", tools=[TOOL | {"filters": filters}])
    system = engine.asked[0].json["messages"][0]["content"]
    assert "[1] 《劳动法》第五十条" in system
    assert "第四十四条" not in system
    strict = post(answering, model="qwen", tools=[TOOL | {"ranking_options": {"score_threshold": 1.0}}])
    assert strict.json()["choices"][0]["message"]["citations"] == []
    assert len(engine.asked) == 1


def test_a_small_models_answer_is_attributed(client: openai.OpenAI, engine: VLLM) -> None:
    engine.says = ("每月延长工作时间", "不得超过三十六小时。", "祝好。")
    message: Any = client.chat.completions.create(model="labour", messages=ASKED).choices[0].message
    assert message.content.startswith("每月延长工作时间不得超过三十六小时[")
    assert message.content.endswith("]。祝好。")
    assert message.citations[0]["article"] == "第四十一条"
    assert message.citations[0]["note"] == "attributed"


def test_a_hostile_document_is_quoted_not_obeyed(client: openai.OpenAI, engine: VLLM, corpus: Corpus) -> None:
    corpus.passages.append(hostile())
    client.chat.completions.create(
        model="qwen",
        messages=ASKED,
        tools=[{"type": "file_search", "vector_store_ids": ["vs_hostile"]}],  # type: ignore[list-item]
    )
    system = engine.asked[0].json["messages"][0]["content"]
    before, _, inside = system.partition("\n<passages>\n")
    assert "Ignore previous instructions" in inside
    assert "Ignore previous instructions" not in before
    assert system.count("</passages>") == 1
    assert "<|" not in system


def test_a_prompt_too_long_for_the_model_is_packed_tighter(client: openai.OpenAI, engine: VLLM) -> None:
    refusal = "This model's maximum context length is 2048 tokens. However, your prompt has 2100."
    engine.script.next(status(400, refusal), status(400, refusal))
    assert client.chat.completions.create(model="labour", messages=ASKED).choices[0].message.content == SHOWN
    sizes = [len(request.json["messages"][0]["content"]) for request in engine.asked]
    assert sizes == sorted(sizes, reverse=True)
    engine.script.always(status(400, refusal))
    with pytest.raises(openai.BadRequestError, match="maximum context length"):
        client.chat.completions.create(model="labour", messages=ASKED)


# streaming


def test_a_stream_gives_the_same_answer_by_the_rules_of_streams(answering: Answering, engine: VLLM) -> None:
    whole = post(answering).json()["choices"][0]["message"]
    response = post(answering, stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    *events, done = chunks(response)
    assert done == "[DONE]"
    assert {event["model"] for event in events} == {"labour"}
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert len({(event["id"], event["created"]) for event in events}) == 1
    assert not any("usage" in event for event in events)
    given = deltas(response)
    assert [number for number, delta in enumerate(given) if "role" in delta] == [0]
    texts = [delta["content"] for delta in given if delta.get("content")]
    assert "".join(texts) == whole["content"]
    assert all(text.count("[") == text.count("]") for text in texts)
    assert [number for number, delta in enumerate(given) if "citations" in delta] == [len(given) - 2]
    assert given[-2] == {name: whole[name] for name in ("citations", "annotations", "unverified", "uncited")}
    assert given[-1] == {}
    assert [event["choices"][0]["finish_reason"] for event in events] == [None] * (len(events) - 1) + ["stop"]


def test_the_sdk_accumulates_a_stream(client: openai.OpenAI, engine: VLLM) -> None:
    with client.chat.completions.stream(model="labour", messages=ASKED) as stream:
        for _ in stream:
            pass
        message: Any = stream.get_final_completion().choices[0].message
    assert message.role == "assistant"
    assert message.content == SHOWN
    assert [citation["marker"] for citation in message.citations] == [1]
    assert message.annotations[0].url_citation.title == "《劳动法》第四十四条"


def test_usage_comes_once_and_only_when_asked_for(answering: Answering, engine: VLLM) -> None:
    *events, done = chunks(post(answering, stream=True, stream_options={"include_usage": True}))
    assert done == "[DONE]"
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == len(SAYS)
    assert sum(bool(event.get("usage")) for event in events) == 1
    engine.script.next(
        inserted(
            sse({"id": "x", "object": "chat.completion.chunk", "choices": [], "usage": {"total_tokens": 1}}),
            3,
        )
    )
    assert not any(event != "[DONE]" and event.get("usage") for event in chunks(post(answering, stream=True)))


def test_reasoning_passes_as_it_is(answering: Answering, engine: VLLM) -> None:
    engine.thinks = ("每月延长工作时间不得", "超过三十六小时。", "看[1][9]。")
    given = deltas(post(answering, stream=True))
    assert [delta["reasoning"] for delta in given if delta.get("reasoning")] == list(engine.thinks)
    whole = post(answering).json()["choices"][0]["message"]
    assert whole["reasoning"] == "".join(engine.thinks)
    assert whole["content"] == SHOWN


def test_tool_calls_pass_as_they_are(answering: Answering, engine: VLLM) -> None:
    call = {
        "tool_calls": [
            {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ]
    }
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "qwen"}
    engine.script.next(
        inserted(sse(chunk | {"choices": [{"index": 0, "delta": call, "finish_reason": None}]}), 2)
    )
    assert call in deltas(post(answering, stream=True))


def test_a_stream_that_was_cut_off_keeps_its_finish_reason(answering: Answering, engine: VLLM) -> None:
    engine.says = ("每月延长工作时间", "不得超过三十六小时", "，而且")
    response = post(answering, stream=True, max_tokens=2)
    assert (
        "".join(delta.get("content") or "" for delta in deltas(response))
        == "每月延长工作时间不得超过三十六小时"
    )
    assert chunks(response)[-2]["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    "fault",
    [
        cut(4),
        cut(4, how="reset"),
        without_done(),
        error_event(4),
        error_event(4, done=False),
        inserted(b"data: {broken\n\n", 4),
    ],
    ids=["cut", "reset", "no-done", "error", "error-then-end", "not-json"],
)
def test_a_broken_stream_ends_in_an_error(answering: Answering, engine: VLLM, fault: Any) -> None:
    engine.script.next(fault)
    *events, last = chunks(post(answering, stream=True))
    assert last["error"]["message"]
    assert "[DONE]" not in events
    assert not any("error" in event for event in events)


def test_the_sdk_raises_on_a_broken_stream(client: openai.OpenAI, engine: VLLM) -> None:
    engine.script.next(cut(4))
    with pytest.raises(openai.APIError, match="broke off"):
        list(client.chat.completions.create(model="labour", messages=ASKED, stream=True))


@pytest.mark.parametrize("stream", [False, True])
def test_the_models_errors_keep_status_and_shape(answering: Answering, engine: VLLM, stream: bool) -> None:
    engine.script.next(status(503, "Queue full."))
    response = post(answering, stream=stream)
    assert response.status_code == 503
    assert response.json()["error"]["message"] == "Queue full."


@pytest.mark.parametrize("stream", [False, True])
def test_a_gateway_that_is_away_is_named(answering: Answering, engine: VLLM, stream: bool) -> None:
    engine.refuse()
    try:
        response = post(answering, stream=stream)
    finally:
        engine.listen()
    assert response.status_code == 502
    assert response.json()["error"]["type"] == "upstream_error"
    assert "PRAXIS_GATEWAY_URL" in response.json()["error"]["message"]


def test_a_stream_that_breaks_before_its_first_event_has_a_status(answering: Answering, engine: VLLM) -> None:
    engine.script.next(cut(0))
    assert post(answering, stream=True).status_code == 502


# a client that leaves


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_while_waiting_cancels_the_model(
    answering: Answering, engine: VLLM, stream: bool
) -> None:
    engine.script.next(silent())
    body = json.dumps({"model": "labour", "messages": ASKED, "stream": stream}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: praxis\r\nx-praxis-tenant: clinic\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", answering.port)) as browser:
        browser.sendall(head + body)
        (seen,) = eventually(lambda: engine.asked, "the model is asked")
    eventually(lambda: seen.left, "the model's request is cancelled")


def test_a_client_that_leaves_in_mid_stream_cancels_the_model(answering: Answering, engine: VLLM) -> None:
    engine.says = ("第四十四条。",) * 50
    engine.script.next(slow(gap=0.5))
    body = {"model": "labour", "messages": ASKED, "stream": True}
    with httpx.stream(
        "POST", f"{answering.url}/chat/completions", json=body, headers=ASKER, timeout=60
    ) as response:
        next(response.iter_lines())
    (seen,) = engine.asked
    eventually(lambda: seen.left, "the model's request is cancelled")
    assert not seen.answered


# nothing to answer from


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "question", "says"),
    [
        ("unfilled", QUESTION, "请先上传文件"),
        ("unfilled", "How is overtime paid?", "Upload a document first"),
        ("strict", QUESTION, "没有找到能支持回答的内容"),
        ("strict", "How is overtime paid?", "Nothing in the knowledge base supports an answer"),
    ],
)
def test_without_evidence_it_says_so_and_asks_no_model(
    answering: Answering, engine: VLLM, model: str, question: str, says: str, stream: bool
) -> None:
    asked = [{"role": "user", "content": question}]
    response = post(
        answering, model=model, messages=asked, stream=stream, stream_options={"include_usage": True}
    )
    assert response.status_code == 200
    assert engine.asked == []
    if not stream:
        completion = response.json()
        assert says in completion["choices"][0]["message"]["content"]
        assert completion["choices"][0]["message"]["citations"] == []
        assert completion["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        return
    *events, done = chunks(response)
    assert done == "[DONE]"
    assert says in "".join(delta.get("content") or "" for delta in deltas(response))
    assert [delta["citations"] for delta in deltas(response) if "citations" in delta] == [[]]
    assert events[-1]["usage"]["total_tokens"] == 0


def test_without_evidence_a_structured_answer_is_refused_as_the_sdk_expects(client: openai.OpenAI) -> None:
    class Pay(BaseModel):
        rate: float

    parsed = (
        client.chat.completions.parse(model="strict", messages=ASKED, response_format=Pay).choices[0].message
    )
    assert parsed.parsed is None
    assert "没有找到" in str(parsed.refusal)


def test_a_structured_answer_is_not_edited(client: openai.OpenAI, engine: VLLM) -> None:
    class Pay(BaseModel):
        rates: list[int]
        why: str

    engine.says = (
        '{"rates": [3',
        "00], ",
        '"why": "法定休假日安排劳动者工作的，支付不低于工资的百分之三百的工资报酬。"}',
    )
    with client.chat.completions.stream(model="labour", messages=ASKED, response_format=Pay) as stream:
        final = stream.get_final_completion()
    message: Any = final.choices[0].message
    assert message.parsed.rates == [300]
    assert len(message.citations) == 4


# bad requests


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"n": 2}, "n"),
        ({"stream": "yes"}, "stream"),
        ({"model": None}, "model"),
        ({"model": "qwen"}, "model"),
        ({"tools": [{"type": "file_search"}]}, "tools"),
        ({"tools": [TOOL, TOOL]}, "tools"),
        ({"tools": [TOOL | {"max_num_results": 0}]}, "tools"),
        ({"tools": [TOOL | {"filters": {"type": "maybe"}}]}, "tools.filters"),
        ({"tools": "file_search"}, "tools"),
    ],
)
def test_what_is_wrong_is_named(
    answering: Answering, engine: VLLM, change: dict[str, Any], param: str
) -> None:
    response = post(answering, **change)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert engine.asked == []


def test_another_tenants_store_does_not_exist(client: openai.OpenAI) -> None:
    search: Any = {"type": "file_search", "vector_store_ids": ["vs_other"]}
    with pytest.raises(openai.NotFoundError, match="vs_other"):
        client.chat.completions.create(model="qwen", messages=ASKED, tools=[search])


def test_a_body_that_is_not_json_is_refused(answering: Answering) -> None:
    response = httpx.post(f"{answering.url}/chat/completions", content=b"{", headers=ASKER, timeout=60)
    assert response.status_code == 400
    assert "not JSON" in response.json()["error"]["message"]
