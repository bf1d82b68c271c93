"""Thinking, by the SDK, in the field that each model's configuration names, and nowhere else."""

import os
from typing import Any

import pytest
from openai import OpenAI

QUESTION: Any = [{"role": "user", "content": "How is overtime paid?"}]
NAMES = ("reasoning", "reasoning_content")
THINKERS = [tuple(each.split("=")) for each in os.environ["PRAXIS_TEST_THINKING"].split()]
EVERY = pytest.mark.parametrize(("thinker", "field"), THINKERS, ids=[thinker for thinker, _ in THINKERS])


def fields(field: str) -> tuple[str, ...]:
    return NAMES if field == "both" else (field,)


def check(thinking: dict[str, str], field: str, answer: str | None) -> None:
    assert set(thinking) == set(fields(field))
    assert len({each.strip() for each in thinking.values()}) == 1
    assert all(thinking.values())
    assert answer
    for text in (answer, *thinking.values()):
        assert "think>" not in text
    assert not any(each.strip() in answer for each in thinking.values())


@EVERY
def test_a_plain_reply_s_thinking(client: OpenAI, thinker: str, field: str) -> None:
    message = client.chat.completions.create(model=thinker, messages=QUESTION).choices[0].message
    given = message.model_dump()
    check({name: given[name] for name in NAMES if given.get(name)}, field, message.content)


@EVERY
@pytest.mark.parametrize("count", [1, 2], ids=["one", "two"])
def test_a_stream_s_thinking(client: OpenAI, thinker: str, field: str, count: int) -> None:
    stream = client.chat.completions.create(
        model=thinker, messages=QUESTION, stream=True, n=count, temperature=0.7
    )
    told: dict[int, dict[str, str]] = {}
    for chunk in stream:
        for choice in chunk.choices:
            delta = choice.delta.model_dump()
            message = told.setdefault(choice.index, {})
            for name in ("content", *NAMES):
                if delta.get(name):
                    assert name == "content" or not message.get("content"), "thinking comes before the answer"
                    message[name] = message.get(name, "") + delta[name]
    assert set(told) == set(range(count))
    for message in told.values():
        check({name: message[name] for name in NAMES if name in message}, field, message["content"])


@EVERY
def test_the_stream_helper_keeps_the_thinking(client: OpenAI, thinker: str, field: str) -> None:
    with client.chat.completions.stream(model=thinker, messages=QUESTION) as stream:
        message = stream.get_final_completion().choices[0].message
    given = message.model_dump()
    check({name: given[name] for name in NAMES if given.get(name)}, field, message.content)


@EVERY
def test_the_thinking_may_be_sent_back(client: OpenAI, thinker: str, field: str) -> None:
    message = client.chat.completions.create(model=thinker, messages=QUESTION).choices[0].message
    history: Any = [
        *QUESTION,
        message.model_dump(exclude_none=True),
        {"role": "user", "content": "And on Sundays?"},
    ]
    assert client.chat.completions.create(model=thinker, messages=history).choices[0].message.content
