"""Tools and structured answers by `langchain_openai`, unchanged."""

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr


@tool
def look_up(article: int, law: str) -> str:
    """Look up an article of a law."""
    return f"{law} {article}: 150 %"


class Verdict(BaseModel):
    """Whether overtime is paid."""

    paid: bool
    rate: int


@pytest.fixture
def chat(base_url: str, key: str, model: str) -> ChatOpenAI:
    """LangChain's chat model on the gateway."""
    return ChatOpenAI(base_url=base_url, api_key=SecretStr(key), model=model, max_retries=0)


def test_a_tool_is_called_and_its_result_is_answered(chat: ChatOpenAI) -> None:
    asked = HumanMessage("How is overtime paid?")
    calling = chat.bind_tools([look_up]).invoke([asked])
    assert isinstance(calling, AIMessage)
    (call,) = calling.tool_calls
    assert call["name"] == "look_up"
    result = look_up.invoke(call)
    assert isinstance(result, ToolMessage)
    answer = chat.bind_tools([look_up]).invoke([asked, calling, result])
    assert answer.text
    assert not answer.tool_calls


def test_a_streamed_call_is_whole(chat: ChatOpenAI) -> None:
    whole: AIMessageChunk | None = None
    for chunk in chat.bind_tools([look_up]).stream("How is overtime paid?"):
        assert isinstance(chunk, AIMessageChunk)
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    (call,) = whole.tool_calls
    assert call["name"] == "look_up"
    assert isinstance(call["args"]["article"], int)
    assert whole.response_metadata["finish_reason"] == "tool_calls"


def test_a_structured_answer_by_a_call(chat: ChatOpenAI) -> None:
    answer = chat.with_structured_output(Verdict, method="function_calling").invoke("Is overtime paid?")
    assert isinstance(answer, Verdict)
