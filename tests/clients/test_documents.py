"""Files, vector stores, search and grounded answers by the SDK."""

from collections.abc import Iterator
from typing import Any

import pytest
from openai import NotFoundError, OpenAI
from openai.types import FileObject, VectorStore

NAME = "青云市图书馆借阅规定.txt"
TEXT = """青云市图书馆借阅规定

第一条 为了规范图书借阅，制定本规定。

第二条 读者每次最多可以借阅图书七册，借期为四十五日。

第三条 逾期不还的，每册每日缴纳滞纳金两角。
"""
QUESTION = "图书逾期不还，滞纳金怎么收？"


@pytest.fixture
def file(client: OpenAI) -> Iterator[FileObject]:
    """An uploaded file."""
    made = client.files.create(file=(NAME, TEXT.encode()), purpose="assistants")
    yield made
    client.files.delete(made.id)


@pytest.fixture
def store(client: OpenAI) -> Iterator[VectorStore]:
    """An empty knowledge base."""
    made = client.vector_stores.create(name="sdk")
    yield made
    client.vector_stores.delete(made.id)


def test_a_file_s_life(client: OpenAI) -> None:
    made = client.files.create(file=(NAME, TEXT.encode()), purpose="assistants")
    assert (made.object, made.filename, made.bytes, made.purpose) == (
        "file",
        NAME,
        len(TEXT.encode()),
        "assistants",
    )
    assert client.files.retrieve(made.id).id == made.id
    assert made.id in {each.id for each in client.files.list()}
    assert client.files.content(made.id).read() == TEXT.encode()
    assert client.files.delete(made.id).deleted
    with pytest.raises(NotFoundError):
        client.files.retrieve(made.id)
    assert made.id not in {each.id for each in client.files.list()}


def test_files_are_listed_page_by_page(client: OpenAI) -> None:
    made = [client.files.create(file=(f"{number}.txt", b"x"), purpose="assistants") for number in range(3)]
    try:
        listed = [each.id for each in client.files.list(limit=1)]
        assert {each.id for each in made} <= set(listed)
        assert len(listed) == len(set(listed))
    finally:
        for each in made:
            client.files.delete(each.id)


def test_a_knowledge_base_s_life(client: OpenAI) -> None:
    made = client.vector_stores.create(name="life", metadata={"room": "7"})
    assert (made.object, made.name, made.metadata) == ("vector_store", "life", {"room": "7"})
    assert client.vector_stores.retrieve(made.id).id == made.id
    assert client.vector_stores.update(made.id, name="renamed").name == "renamed"
    assert made.id in {each.id for each in client.vector_stores.list()}
    assert client.vector_stores.delete(made.id).deleted
    with pytest.raises(NotFoundError):
        client.vector_stores.retrieve(made.id)


def test_what_is_uploaded_is_found_and_what_is_deleted_is_not(client: OpenAI, store: VectorStore) -> None:
    placed = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=(NAME, TEXT.encode()))
    assert placed.status == "completed", placed.last_error
    assert [each.id for each in client.vector_stores.files.list(store.id)] == [placed.id]
    assert client.vector_stores.retrieve(store.id).file_counts.completed == 1
    best = client.vector_stores.search(store.id, query=QUESTION).data[0]
    assert (best.file_id, best.filename) == (placed.id, NAME)
    assert 0 <= best.score <= 1
    assert "滞纳金" in best.content[0].text
    assert best.attributes is not None
    assert best.attributes["article"] == "第三条"
    client.vector_stores.files.delete(placed.id, vector_store_id=store.id)
    assert client.vector_stores.search(store.id, query=QUESTION).data == []
    client.files.delete(placed.id)


def test_a_file_is_placed_and_polled(client: OpenAI, store: VectorStore, file: FileObject) -> None:
    placed = client.vector_stores.files.create_and_poll(
        file.id, vector_store_id=store.id, attributes={"year": 2020}
    )
    assert placed.status == "completed", placed.last_error
    assert placed.attributes == {"year": 2020}
    found = client.vector_stores.search(store.id, query=QUESTION, max_num_results=1).data
    assert len(found) == 1


def test_a_batch_is_placed_and_polled(client: OpenAI, store: VectorStore, file: FileObject) -> None:
    batch = client.vector_stores.file_batches.create_and_poll(store.id, file_ids=[file.id])
    assert batch.status == "completed"
    assert batch.file_counts.completed == batch.file_counts.total == 1


def test_file_search_grounds_any_model(
    client: OpenAI, model: str, store: VectorStore, file: FileObject
) -> None:
    client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id)
    tools: Any = [{"type": "file_search", "vector_store_ids": [store.id]}]
    asked: Any = [{"role": "user", "content": QUESTION}]
    answer = client.chat.completions.create(model=model, messages=asked, tools=tools, max_tokens=40)
    message = answer.choices[0].message.model_dump()
    assert message["content"]
    assert isinstance(message["citations"], list)
    assert {citation["file_id"] for citation in message["citations"]} <= {file.id}


def test_an_assistant_cites_streaming_and_not(client: OpenAI, assistant: str) -> None:
    asked: Any = [{"role": "user", "content": "加班工资怎么计算？"}]
    answer = client.chat.completions.create(model=assistant, messages=asked, max_tokens=40)
    assert answer.model == assistant
    assert isinstance(answer.choices[0].message.model_dump()["citations"], list)
    chunks = list(client.chat.completions.create(model=assistant, messages=asked, max_tokens=40, stream=True))
    assert {chunk.model for chunk in chunks} == {assistant}
    assert all(chunk.choices for chunk in chunks)
    lists = [
        delta["citations"]
        for chunk in chunks
        if (delta := chunk.choices[0].delta.model_dump()).get("citations") is not None
    ]
    assert len(lists) == 1
    for citation in lists[0]:
        assert {
            "marker",
            "file_id",
            "filename",
            "quote",
            "start",
            "end",
            "score",
            "law",
            "article",
        } <= citation.keys()
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")


def test_a_response_searches_files_and_annotates(
    client: OpenAI, model: str, store: VectorStore, file: FileObject
) -> None:
    client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id)
    tools: Any = [{"type": "file_search", "vector_store_ids": [store.id]}]
    response = client.responses.create(
        model=model, input=QUESTION, tools=tools, include=["file_search_call.results"], max_output_tokens=40
    )
    search, message = response.output[0], response.output[-1]
    assert search.type == "file_search_call"
    assert search.results
    assert "每册每日缴纳滞纳金两角" in "".join(each.text or "" for each in search.results)
    assert message.type == "message"
    assert response.output_text
    for part in message.content:
        assert part.type == "output_text"
        assert {each.type for each in part.annotations} <= {"file_citation"}
        assert {each.model_dump()["file_id"] for each in part.annotations} <= {file.id}


def test_an_assistant_s_response_streams(client: OpenAI, assistant: str) -> None:
    with client.responses.create(
        model=assistant, input="加班工资怎么计算？", max_output_tokens=40, stream=True
    ) as events:
        seen = list(events)
    kinds = [event.type for event in seen]
    assert kinds[0] == "response.created"
    assert kinds[-1] in ("response.completed", "response.incomplete")
    assert "response.file_search_call.completed" in kinds
    final: Any = seen[-1]
    assert final.response.model == assistant
    assert final.response.output_text == "".join(
        event.delta for event in seen if event.type == "response.output_text.delta"
    )


def test_what_is_not_there_is_said(client: OpenAI, store: VectorStore) -> None:
    with pytest.raises(NotFoundError):
        client.vector_stores.files.create(store.id, file_id="file-nobody")
    with pytest.raises(NotFoundError):
        client.vector_stores.search("vs_nobody", query="x")
