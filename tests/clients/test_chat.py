"""Chat completions by the SDK."""

import asyncio

import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam

MESSAGES: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "You answer in one short sentence."},
    {"role": "user", "content": "What is the capital of France?"},
]
REASONS = {"stop", "length"}


def test_a_plain_answer(client: OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=16, temperature=0)
    assert answer.object == "chat.completion"
    assert answer.model == model
    assert answer.id
    (choice,) = answer.choices
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert choice.finish_reason in REASONS
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_says_what_the_plain_answer_says(client: OpenAI, model: str) -> None:
    plain = client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=16, temperature=0)
    chunks = list(
        client.chat.completions.create(
            model=model, messages=MESSAGES, max_tokens=16, temperature=0, stream=True
        )
    )
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk.model for chunk in chunks} == {model}
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(len(chunk.choices) == 1 for chunk in chunks), (
        "a usage event that nobody asked for breaks `choices[0]`"
    )
    assert [chunk.choices[0].delta.role for chunk in chunks].count("assistant") == 1
    assert [reason for chunk in chunks if (reason := chunk.choices[0].finish_reason)] == [
        plain.choices[0].finish_reason
    ]
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert said.strip() == (plain.choices[0].message.content or "").strip()


def test_a_stream_s_usage_comes_last_when_it_is_asked_for(client: OpenAI, model: str) -> None:
    stream = client.chat.completions.create(
        model=model, messages=MESSAGES, max_tokens=8, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = list(stream)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens > 0
    assert not any(chunk.usage for chunk in chunks)


def test_the_stream_helper_puts_the_message_together(client: OpenAI, model: str) -> None:
    with client.chat.completions.stream(model=model, messages=MESSAGES, max_tokens=16) as stream:
        said = "".join(event.delta for event in stream if event.type == "content.delta")
        message = stream.current_completion_snapshot.choices[0].message
    assert said
    assert message.role == "assistant"
    assert message.content == said


def test_several_answers_to_one_question(client: OpenAI, model: str) -> None:
    answer = client.chat.completions.create(
        model=model, messages=MESSAGES, max_tokens=8, n=2, temperature=0.8
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert all(choice.message.content for choice in answer.choices)


def test_what_the_sdk_does_not_know_is_accepted(client: OpenAI, model: str) -> None:
    extra = {"top_k": 1, "repetition_penalty": 1.05, "chat_template_kwargs": {"enable_thinking": False}}
    answer = client.chat.completions.create(
        model=model, messages=MESSAGES, max_completion_tokens=8, user="u", seed=7, stop=None, extra_body=extra
    )
    assert answer.choices[0].message.content


def test_the_reply_s_id_is_there_for_support(client: OpenAI, model: str) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=MESSAGES, max_tokens=4, extra_headers={"x-request-id": "case-7"}
    )
    assert raw.headers["x-request-id"] == "case-7"
    assert raw.headers["x-praxis-model"]
    assert raw.parse().choices


def test_a_stream_may_be_left_and_the_next_answer_comes(client: OpenAI, model: str) -> None:
    stream = client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=400, stream=True)
    next(iter(stream))
    stream.close()
    assert client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=4).choices


@pytest.mark.parametrize("count", [4])
def test_many_at_once(base_url: str, key: str, model: str, count: int) -> None:
    async def one(client: AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(
            model=model, messages=MESSAGES, max_tokens=8, stream=True
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def every() -> list[str]:
        async with AsyncOpenAI(base_url=base_url, api_key=key, timeout=240, max_retries=0) as client:
            return await asyncio.gather(*(one(client) for _ in range(count)))

    said = asyncio.run(every())
    assert len(said) == count
    assert all(said)
