"""A statute is uploaded, found, cited and deleted, through the gateway, by the SDK and by raw HTTP.

What is asserted is what was retrieved and attributed, which is sure, not the wording of a tiny model.
"""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tests.chain.conftest import MODEL, Stack

pytestmark = pytest.mark.chain

STATUTE = """青云市图书馆借阅条例

2020年3月1日 青云市人民代表大会常务委员会通过

第一章 总则

第一条 为了规范图书借阅，保护读者权益，制定本条例。

第二章 借阅

第二条 读者每次最多可以借阅图书七册，借期为四十五日。

第三条 逾期不还的，每册每日缴纳滞纳金两角，滞纳金总额不超过书价。
"""
ASKED = "图书逾期不还，滞纳金怎么收？"


@pytest.fixture
def statute(tmp_path: Path) -> Path:
    file = tmp_path / "青云市图书馆借阅条例.txt"
    file.write_text(STATUTE, encoding="gb18030")
    return file


def grounded(client: OpenAI, store: str) -> dict[str, Any]:
    """The message of an answer that `file_search` grounds."""
    reply = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": ASKED}],
        tools=[{"type": "file_search", "vector_store_ids": [store], "max_num_results": 1}],  # type: ignore[list-item]
        max_tokens=30,
    )
    return reply.choices[0].message.model_dump()


def test_a_statute_is_found_cited_and_gone_after_deletion(stack: Stack, statute: Path) -> None:
    client = stack.openai()
    store = client.vector_stores.create(name="library")
    file = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=statute)
    assert file.status == "completed", file.last_error
    found = client.vector_stores.search(store.id, query=ASKED, max_num_results=2).data
    assert found[0].file_id == file.id
    assert found[0].attributes is not None
    assert found[0].attributes["article"] == "第三条"
    assert found[0].attributes["law"] == "青云市图书馆借阅条例"
    assert found[0].attributes["version"] == "2020-03-01"

    message = grounded(client, store.id)
    assert message["content"]
    content = client.files.content(file.id)
    assert content.read() == statute.read_bytes()
    for citation in message["citations"]:
        assert citation["file_id"] == file.id
        assert citation["quote"] in STATUTE
        assert f"[{citation['marker']}]" in message["content"]

    client.files.delete(file.id)
    assert client.vector_stores.search(store.id, query=ASKED).data == []
    assert list(client.vector_stores.files.list(store.id)) == []
    empty = grounded(client, store.id)
    assert empty["citations"] == []
    assert "知识库" in empty["content"]
    client.vector_stores.delete(store.id)


def test_a_response_cites_what_it_was_given(stack: Stack, statute: Path) -> None:
    client = stack.openai()
    store = client.vector_stores.create(name="responses")
    file = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=statute)
    asked: Any = {
        "model": MODEL, "input": ASKED, "max_output_tokens": 30, "include": ["file_search_call.results"],
        "tools": [{"type": "file_search", "vector_store_ids": [store.id], "max_num_results": 1}],
    }  # fmt: skip
    events = list(client.responses.create(**asked, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[-1] in ("response.completed", "response.incomplete")
    final = events[-1].response  # type: ignore[union-attr]
    for response in (final, client.responses.create(**asked)):
        search, message = response.output
        assert search.type == "file_search_call"
        assert [each.file_id for each in search.results or ()] == [file.id]
        assert message.type == "message"
        part: Any = message.content[0]
        assert part.text == response.output_text != ""
        for each in part.annotations:
            assert (each.type, each.file_id) == ("file_citation", file.id)
            assert part.text[each.index :].startswith(f"[{each.marker}]")
        assert response.usage is not None
        assert response.usage.output_tokens > 0
    client.vector_stores.delete(store.id)
    # Without documents the engine's own Responses API answers.
    with client.responses.stream(model=MODEL, input="Say hello.", max_output_tokens=8) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert stream.get_final_response().output_text == text != ""


def test_the_sample_assistant_retrieves_the_article_on_overtime(stack: Stack, http: httpx.Client) -> None:
    admin = stack.openai(stack.admin_key)
    store = next(each for each in admin.vector_stores.list() if each.name == "labour-law")
    question = "劳动合同写的是月薪8000元，但公司一直按基本工资3000元为基数算加班费，我能主张什么？"
    found = admin.vector_stores.search(store.id, query=question, max_num_results=6).data
    articles = {(each.attributes or {}).get("article") for each in found}
    assert "第四十四条" in articles
    body = {"model": "labour-law", "messages": [{"role": "user", "content": question}], "stream": True}
    events = http.post("/v1/chat/completions", json=body).text.split("\n\n")
    assert events[-2] == "data: [DONE]", events[-3:]
    deltas = [json.loads(event.removeprefix("data: "))["choices"][0]["delta"] for event in events[:-2]]
    assert sum("citations" in delta for delta in deltas) == 1


def test_documents_of_one_tenant_do_not_exist_for_another(stack: Stack, statute: Path) -> None:
    mine = stack.openai()
    store = mine.vector_stores.create(name="private")
    file = mine.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=statute)
    made = stack.praxis("keys", "create", "stranger")
    assert made.returncode == 0, made.stderr
    headers = {"authorization": f"Bearer {made.stdout.strip()}"}
    with httpx.Client(base_url=stack.url, headers=headers, timeout=60) as stranger:
        assert stranger.get(f"/v1/files/{file.id}").status_code == 404
        assert stranger.get(f"/v1/files/{file.id}/content").status_code == 404
        assert stranger.delete(f"/v1/files/{file.id}").status_code == 404
        assert stranger.post(f"/v1/vector_stores/{store.id}/search", json={"query": ASKED}).status_code == 404
        assert stranger.get("/v1/files").json()["data"] == []
        tool = {"type": "file_search", "vector_store_ids": [store.id]}
        body = {"model": MODEL, "messages": [{"role": "user", "content": ASKED}], "tools": [tool]}
        assert stranger.post("/v1/chat/completions", json=body).status_code == 404
    mine.files.delete(file.id)
    mine.vector_stores.delete(store.id)
