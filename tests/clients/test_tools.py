"""Tools by the SDK: called, called in a stream, answered. The model calls whatever tools it is given."""

import json
from typing import Any

import pytest
from openai import OpenAI

QUESTION: Any = [{"role": "user", "content": "How is overtime paid?"}]


def tool(name: str) -> dict[str, Any]:
    """A tool that looks something up."""
    properties = {"article": {"type": "integer"}, "law": {"type": "string"}}
    schema = {"type": "object", "properties": properties, "required": ["article", "law"]}
    return {"type": "function", "function": {"name": name, "description": "Look up.", "parameters": schema}}


def looked_up(arguments: str) -> None:
    given = json.loads(arguments)
    assert isinstance(given["article"], int)
    assert isinstance(given["law"], str)


NAMED: Any = {"type": "function", "function": {"name": "look_up"}}


@pytest.mark.parametrize("choice", ["auto", "required", NAMED], ids=["auto", "required", "named"])
def test_a_tool_is_called(client: OpenAI, model: str, choice: Any) -> None:
    tools: Any = [tool("look_up")]
    answer = client.chat.completions.create(model=model, messages=QUESTION, tools=tools, tool_choice=choice)
    (call,) = answer.choices[0].message.tool_calls or ()
    assert call.type == "function"
    assert call.function.name == "look_up"
    looked_up(call.function.arguments)
    assert call.id
    assert answer.choices[0].finish_reason in ("tool_calls", "stop")
    assert choice == NAMED or answer.choices[0].finish_reason == "tool_calls"


def test_a_call_is_streamed_piece_by_piece(client: OpenAI, model: str) -> None:
    tools: Any = [tool("look_up")]
    chunks = list(client.chat.completions.create(model=model, messages=QUESTION, tools=tools, stream=True))
    fragments = [
        each for chunk in chunks for choice in chunk.choices for each in choice.delta.tool_calls or ()
    ]
    assert {each.index for each in fragments} == {0}
    assert len([each.id for each in fragments if each.id]) == 1
    assert [each.function.name for each in fragments if each.function and each.function.name] == ["look_up"]
    pieces = [each.function.arguments or "" for each in fragments if each.function]
    assert len(pieces) > 2
    looked_up("".join(pieces))
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "tool_calls"


def test_the_stream_helper_puts_several_calls_together(client: OpenAI, model: str) -> None:
    tools: Any = [tool("look_up"), tool("look_elsewhere")]
    with client.chat.completions.stream(model=model, messages=QUESTION, tools=tools) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        message = stream.get_final_completion().choices[0].message
    assert [event.name for event in done] == ["look_up", "look_elsewhere"]
    assert [call.function.name for call in message.tool_calls or ()] == ["look_up", "look_elsewhere"]
    for call in message.tool_calls or ():
        looked_up(call.function.arguments)
    assert message.role == "assistant"


def test_one_call_at_a_time_where_that_is_wanted(client: OpenAI, model: str) -> None:
    tools: Any = [tool("look_up"), tool("look_elsewhere")]
    answer = client.chat.completions.create(
        model=model, messages=QUESTION, tools=tools, parallel_tool_calls=False
    )
    assert len(answer.choices[0].message.tool_calls or ()) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_tool_s_result_goes_back_and_the_answer_comes(client: OpenAI, model: str, stream: bool) -> None:
    tools: Any = [tool("look_up")]
    asked = client.chat.completions.create(model=model, messages=QUESTION, tools=tools).choices[0].message
    assert asked.tool_calls
    history: Any = [
        *QUESTION,
        asked,
        {"role": "tool", "tool_call_id": asked.tool_calls[0].id, "content": "150 %"},
    ]
    answered: Any = client.chat.completions.create(model=model, messages=history, tools=tools, stream=stream)
    if stream:
        said = "".join(chunk.choices[0].delta.content or "" for chunk in answered)
    else:
        said = answered.choices[0].message.content
    assert said


def test_tools_that_are_not_to_be_called(client: OpenAI, model: str) -> None:
    tools: Any = [tool("look_up")]
    answer = client.chat.completions.create(model=model, messages=QUESTION, tools=tools, tool_choice="none")
    assert not answer.choices[0].message.tool_calls
    assert answer.choices[0].message.content
