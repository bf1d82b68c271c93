"""Answers held to a JSON schema by `langchain_openai`, unchanged."""

from typing import Literal

from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr


class Verdict(BaseModel):
    """Whether overtime is paid."""

    paid: bool
    rate: Literal["150 %", "200 %", "300 %"]


def test_a_structured_answer_by_a_schema(base_url: str, key: str, model: str) -> None:
    chat = ChatOpenAI(
        base_url=base_url, api_key=SecretStr(key), model=model, max_completion_tokens=200, max_retries=0
    )
    answer = chat.with_structured_output(Verdict, method="json_schema").invoke("Is overtime paid?")
    assert isinstance(answer, Verdict)
    streamed = list(chat.with_structured_output(Verdict, method="json_schema").stream("Is overtime paid?"))
    assert isinstance(streamed[-1], Verdict)
