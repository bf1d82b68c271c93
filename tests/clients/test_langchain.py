"""`langchain_openai` unchanged."""

import asyncio
import os

import pytest
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from openai import NotFoundError
from pydantic import SecretStr

QUESTION = "What is the capital of France?"


@pytest.fixture
def chat(base_url: str, key: str, model: str) -> ChatOpenAI:
    """LangChain's chat model on the gateway."""
    return ChatOpenAI(
        base_url=base_url,
        api_key=SecretStr(key),
        model=model,
        temperature=0,
        max_completion_tokens=12,
        max_retries=0,
    )


def test_invoke(chat: ChatOpenAI, model: str) -> None:
    answer = chat.invoke(QUESTION)
    assert answer.text
    assert answer.response_metadata["model_name"] == model
    assert answer.response_metadata["finish_reason"] in ("stop", "length")
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] > 0


def test_stream(chat: ChatOpenAI, model: str) -> None:
    chunks = list(chat.stream(QUESTION))
    assert "".join(chunk.text for chunk in chunks).strip() == chat.invoke(QUESTION).text.strip()
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    assert whole.response_metadata["model_name"] == model
    assert whole.response_metadata["finish_reason"] in ("stop", "length")


def test_usage_of_a_stream(base_url: str, key: str, model: str) -> None:
    chat = ChatOpenAI(
        base_url=base_url, api_key=SecretStr(key), model=model, max_completion_tokens=8, stream_usage=True
    )
    counted = [chunk.usage_metadata for chunk in chat.stream(QUESTION) if chunk.usage_metadata]
    assert len(counted) == 1
    assert counted[0]["output_tokens"] > 0


def test_async(chat: ChatOpenAI) -> None:
    async def both() -> tuple[str, str]:
        said = "".join([chunk.text async for chunk in chat.astream(QUESTION)])
        return (await chat.ainvoke(QUESTION)).text, said

    plain, streamed = asyncio.run(both())
    assert plain.strip() == streamed.strip()


def test_batch(chat: ChatOpenAI) -> None:
    assert all(answer.text for answer in chat.batch([QUESTION, "And of Spain?"]))


def test_an_unknown_model(base_url: str, key: str) -> None:
    with pytest.raises(NotFoundError):
        ChatOpenAI(base_url=base_url, api_key=SecretStr(key), model="nobody", max_retries=0).invoke(QUESTION)


if name := os.environ.get("PRAXIS_TEST_EMBEDDING"):

    def test_embeddings(base_url: str, key: str) -> None:
        embeddings = OpenAIEmbeddings(
            base_url=base_url, api_key=SecretStr(key), model=str(name), check_embedding_ctx_length=False
        )
        first, second = embeddings.embed_documents(["加班费", "年休假"])
        assert len(first) == len(second) == len(embeddings.embed_query("加班费怎么算？"))
        assert first != second
