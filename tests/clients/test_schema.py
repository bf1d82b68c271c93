"""Answers held to a JSON schema, by the SDK."""

import json
from typing import Any, Literal

import pytest
from openai import OpenAI
from pydantic import BaseModel, ConfigDict

QUESTION: Any = [{"role": "user", "content": "Is overtime paid? Answer in JSON."}]


class Verdict(BaseModel):
    """What the answer must be; every value is bounded, so that the smallest model comes to an end."""

    model_config = ConfigDict(extra="forbid")

    paid: bool
    rate: Literal["150 %", "200 %", "300 %"]


FORMAT: Any = {
    "type": "json_schema",
    "json_schema": {"name": "verdict", "strict": True, "schema": Verdict.model_json_schema()},
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_answer_of_this_schema(client: OpenAI, model: str, stream: bool) -> None:
    answer: Any = client.chat.completions.create(
        model=model, messages=QUESTION, response_format=FORMAT, max_tokens=200, stream=stream
    )
    if stream:
        said = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
    else:
        said = answer.choices[0].message.content
    Verdict.model_validate_json(said)


def test_an_answer_parsed_into_a_model(client: OpenAI, model: str) -> None:
    answer = client.chat.completions.parse(
        model=model, messages=QUESTION, response_format=Verdict, max_tokens=200
    )
    assert isinstance(answer.choices[0].message.parsed, Verdict)


def test_a_stream_parsed_into_a_model(client: OpenAI, model: str) -> None:
    with client.chat.completions.stream(
        model=model, messages=QUESTION, response_format=Verdict, max_tokens=200
    ) as stream:
        for _ in stream:
            pass
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Verdict)


def test_an_answer_of_some_json(client: OpenAI, model: str) -> None:
    schema: Any = {"type": "json_object"}
    answer = client.chat.completions.create(
        model=model, messages=QUESTION, response_format=schema, max_tokens=400
    )
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)
