"""What the engine would silently ignore is refused by name, before it is asked."""

import os
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

QUESTION: Any = [{"role": "user", "content": "How is overtime paid?"}]
SCHEMA = {"name": "any", "schema": {"type": "object"}}
ASKED: dict[str, dict[str, Any]] = {
    "logprobs": {"logprobs": True},
    "schema": {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
}


@pytest.mark.parametrize("ability", os.environ["PRAXIS_TEST_REFUSES"].split())
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_what_cannot_be_done_is_said(client: OpenAI, model: str, ability: str, stream: bool) -> None:
    asked = ASKED[ability]
    with pytest.raises(BadRequestError) as refused:
        client.chat.completions.create(model=model, messages=QUESTION, stream=stream, **asked)
    assert refused.value.param == next(iter(asked))
    assert model in str(refused.value)
