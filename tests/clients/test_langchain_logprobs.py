"""The probabilities of tokens by `langchain_openai`, unchanged."""

from langchain_openai import ChatOpenAI
from pydantic import SecretStr


def test_the_probabilities_are_in_the_metadata(base_url: str, key: str, model: str) -> None:
    chat = ChatOpenAI(
        base_url=base_url, api_key=SecretStr(key), model=model, max_completion_tokens=4, max_retries=0
    ).bind(logprobs=True)
    seats = chat.invoke("How is overtime paid?").response_metadata["logprobs"]["content"]
    assert all(seat["logprob"] <= 0 for seat in seats)
