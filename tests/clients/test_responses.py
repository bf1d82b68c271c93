"""The Responses API as the SDK calls it: a model's own answer, streaming and not."""

from openai import OpenAI
from openai.types.responses import Response


def test_a_response_is_had_whole(client: OpenAI, model: str) -> None:
    response = client.responses.create(
        model=model, input="Say something short.", instructions="Be brief.", max_output_tokens=24
    )
    assert (response.object, response.model) == ("response", model)
    assert response.status in ("completed", "incomplete")
    assert response.output_text
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 0


def test_a_response_is_had_event_by_event(client: OpenAI, model: str) -> None:
    text, last = "", None
    with client.responses.create(
        model=model, input="Say something short.", max_output_tokens=24, stream=True
    ) as events:
        for event in events:
            if event.type == "response.output_text.delta":
                text += event.delta
            last = event
    assert last is not None
    assert last.type in ("response.completed", "response.incomplete")
    final = last.response
    assert isinstance(final, Response)
    assert final.model == model
    assert final.output_text == text != ""


def test_a_conversation_goes_on_from_what_is_sent_back(client: OpenAI, model: str) -> None:
    first = client.responses.create(model=model, input="Say something short.", max_output_tokens=24)
    turns: list[object] = [
        {"role": "user", "content": "Say something short."},
        {"role": "assistant", "content": first.output_text},
        {"role": "user", "content": "And now something else."},
    ]
    second = client.responses.create(model=model, input=turns, max_output_tokens=24)  # type: ignore[arg-type]
    assert second.output_text
