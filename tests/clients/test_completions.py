"""Plain completions by the SDK."""

import pytest
from openai import OpenAI


@pytest.mark.parametrize(
    "prompt", ["Once upon a time", ["Once upon a time", "The law says"]], ids=["one", "two"]
)
def test_a_completion(client: OpenAI, model: str, prompt: str | list[str]) -> None:
    answer = client.completions.create(model=model, prompt=prompt, max_tokens=8, temperature=0)
    assert answer.object == "text_completion"
    assert answer.model == model
    assert [choice.index for choice in answer.choices] == list(
        range(1 if isinstance(prompt, str) else len(prompt))
    )
    assert all(choice.text for choice in answer.choices)
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


def test_a_streamed_completion_says_the_same(client: OpenAI, model: str) -> None:
    prompt = "Once upon a time"
    plain = client.completions.create(model=model, prompt=prompt, max_tokens=8, temperature=0)
    chunks = list(
        client.completions.create(model=model, prompt=prompt, max_tokens=8, temperature=0, stream=True)
    )
    assert all(len(chunk.choices) == 1 for chunk in chunks)
    assert {chunk.model for chunk in chunks} == {model}
    assert "".join(chunk.choices[0].text for chunk in chunks) == plain.choices[0].text
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")
