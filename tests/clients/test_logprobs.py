"""The probabilities of tokens, by the SDK."""

from typing import Any

from openai import OpenAI

QUESTION: Any = [{"role": "user", "content": "How is overtime paid?"}]


def test_every_token_has_its_probability(client: OpenAI, model: str) -> None:
    answer = client.chat.completions.create(
        model=model, messages=QUESTION, max_tokens=4, logprobs=True, top_logprobs=2
    )
    (choice,) = answer.choices
    assert choice.logprobs is not None
    seats = choice.logprobs.content or []
    assert "".join(seat.token for seat in seats).startswith(choice.message.content or "?")
    assert all(seat.logprob <= 0 for seat in seats)
    assert all(len(seat.top_logprobs) == 2 for seat in seats)


def test_a_stream_s_tokens_too(client: OpenAI, model: str) -> None:
    stream = client.chat.completions.create(
        model=model, messages=QUESTION, max_tokens=4, logprobs=True, stream=True
    )
    choices = [choice for chunk in stream for choice in chunk.choices]
    said = "".join(choice.delta.content or "" for choice in choices)
    seats = [seat for choice in choices if choice.logprobs for seat in choice.logprobs.content or ()]
    assert "".join(seat.token for seat in seats).startswith(said)
    assert all(seat.logprob <= 0 for seat in seats)
