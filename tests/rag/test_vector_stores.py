"""Files and knowledge bases over HTTP, by the unchanged `openai` SDK."""

import io
import threading
from typing import Any

import httpx
import openai
import pytest

from tests.processes import ROOT
from tests.rag import documents
from tests.rag.conftest import SECRET, Rag, asker

TEXT = "劳动合同的试用期最长不得超过六个月。用人单位应当按月支付工资。\n"


def upload(client: openai.OpenAI, name: str, content: bytes | str) -> str:
    raw = content.encode() if isinstance(content, str) else content
    return client.files.create(file=(name, io.BytesIO(raw)), purpose="assistants").id


def test_a_file_is_uploaded_listed_read_and_deleted(client: openai.OpenAI) -> None:
    created = client.files.create(file=('../../合同 "甲".txt', TEXT.encode()), purpose="assistants")
    assert (created.object, created.status, created.bytes) == ("file", "processed", len(TEXT.encode()))
    assert created.filename == '合同 "甲".txt'
    assert client.files.wait_for_processing(created.id).id == created.id
    assert client.files.content(created.id).read() == TEXT.encode()
    assert [each.id for each in client.files.list()] == [created.id]
    assert client.files.delete(created.id).deleted
    with pytest.raises(openai.NotFoundError, match=created.id):
        client.files.retrieve(created.id)
    assert list(client.files.list()) == []


def test_lists_are_paged_in_both_orders_and_survive_deletion_on_the_way(client: openai.OpenAI) -> None:
    ids = [upload(client, f"{number}.txt", TEXT) for number in range(5)]
    assert [each.id for each in client.files.list(limit=2)] == ids[::-1]
    assert [each.id for each in client.files.list(limit=2, order="asc")] == ids
    for each in client.files.list(limit=2):
        client.files.delete(each.id)
    assert list(client.files.list()) == []


@pytest.mark.parametrize(
    ("fields", "files", "param"),
    [
        ({"purpose": "assistants"}, {}, "file"),
        ({"purpose": "poetry"}, {"file": ("a.txt", b"a")}, "purpose"),
        (
            {"purpose": "assistants", "expires_after[anchor]": "now"},
            {"file": ("a.txt", b"a")},
            "expires_after",
        ),
    ],
)
def test_a_wrong_upload_is_refused_by_name(rag: Rag, fields: Any, files: Any, param: str) -> None:
    reply = rag.request("POST", "/v1/files", data=fields, files=files)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param


def test_a_store_is_made_filled_searched_changed_and_deleted(client: openai.OpenAI) -> None:
    store = client.vector_stores.create(name="合同", metadata={"用途": "测试"})
    assert (store.status, store.file_counts.total, store.metadata) == ("completed", 0, {"用途": "测试"})
    entry = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("a.txt", TEXT.encode()), poll_interval_ms=100
    )
    assert (entry.status, entry.last_error, entry.vector_store_id) == ("completed", None, store.id)
    assert entry.chunking_strategy
    assert entry.chunking_strategy.type == "static"
    hits = client.vector_stores.search(store.id, query="试用期").data
    assert [each.file_id for each in hits] == [entry.id]
    assert "六个月" in hits[0].content[0].text
    page = client.vector_stores.files.content(file_id=entry.id, vector_store_id=store.id)
    assert "".join(each.text or "" for each in page.data) == TEXT
    renamed = client.vector_stores.update(
        store.id, name="新名", expires_after={"anchor": "last_active_at", "days": 3}
    )
    assert renamed.name == "新名"
    assert renamed.expires_at == renamed.last_active_at + 3 * 86_400
    assert [each.id for each in client.vector_stores.list()] == [store.id]
    assert client.vector_stores.delete(store.id).deleted
    assert client.files.retrieve(entry.id).id == entry.id
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.search(store.id, query="试用期")


def test_a_batch_takes_good_and_bad_files_and_tells_them_apart(client: openai.OpenAI) -> None:
    store = client.vector_stores.create(name="")
    good = [upload(client, f"{number}.txt", f"第{number}份。{TEXT}") for number in range(3)]
    bad = {
        upload(client, "a.pdf", documents.scanned()): "OCR",
        upload(client, "合同.pdf", b"MZ" + bytes(99)): "Windows program",
        upload(client, "b.txt", b""): "empty",
    }
    batch = client.vector_stores.file_batches.create_and_poll(
        vector_store_id=store.id, file_ids=[*good, *bad], poll_interval_ms=100
    )
    counts = batch.file_counts
    assert (counts.completed, counts.failed, counts.in_progress, counts.total) == (3, 3, 0, 6)
    listed = {
        each.id: each
        for each in client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id)
    }
    for file_id, says in bad.items():
        error = listed[file_id].last_error
        assert error is not None
        assert says in error.message
        assert error.code in ("unsupported_file", "invalid_file")
    failed = client.vector_stores.files.list(store.id, filter="failed")
    assert {each.id for each in failed} == set(bad)


def test_attributes_filter_and_can_be_replaced(client: openai.OpenAI) -> None:
    store = client.vector_stores.create(name="a")
    ids = {year: upload(client, f"{year}.txt", f"{year}。{TEXT}") for year in (2019, 2024)}
    for year, file_id in ids.items():
        client.vector_stores.files.create_and_poll(
            file_id, vector_store_id=store.id, attributes={"year": year, "final": True}, poll_interval_ms=100
        )

    def search(value: Any) -> set[str]:
        return {each.file_id for each in client.vector_stores.search(store.id, query="试用期", filters=value)}

    assert search({"type": "gte", "key": "year", "value": 2020}) == {ids[2024]}
    both = {"type": "or", "filters": [{"type": "in", "key": "year", "value": [2019, 2024]}]}
    assert search(both) == set(ids.values())
    client.vector_stores.files.update(ids[2024], vector_store_id=store.id, attributes={"year": 1999})
    assert search({"type": "gte", "key": "year", "value": 2020}) == set()
    with pytest.raises(openai.BadRequestError, match="filters"):
        search({"type": "like", "key": "year", "value": 1})


def test_deleting_a_file_takes_it_out_of_every_store_at_once(client: openai.OpenAI) -> None:
    file_id = upload(client, "a.txt", TEXT)
    stores = [client.vector_stores.create(name=str(number), file_ids=[file_id]).id for number in range(2)]
    for store in stores:
        client.vector_stores.files.poll(file_id, vector_store_id=store, poll_interval_ms=100)
        assert client.vector_stores.search(store, query="试用期").data
    client.files.delete(file_id)
    for store in stores:
        assert client.vector_stores.search(store, query="试用期").data == []
        assert client.vector_stores.retrieve(store).file_counts.total == 0


def test_what_is_deleted_is_never_found_while_others_search(client: openai.OpenAI) -> None:
    store = client.vector_stores.create(name="busy")
    kept = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("kept.txt", TEXT.encode()), poll_interval_ms=100
    )
    gone: set[str] = set()
    wrong: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            deleted = set(gone)
            found = {each.file_id for each in client.vector_stores.search(store.id, query="试用期工资").data}
            if found & deleted:
                wrong.append("found what was deleted")
            if kept.id not in found:
                wrong.append("lost what was kept")

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for each in askers:
        each.start()
    try:
        for number in range(6):
            entry = client.vector_stores.files.upload_and_poll(
                vector_store_id=store.id,
                file=(f"{number}.txt", f"{number}。{TEXT}".encode()),
                poll_interval_ms=50,
            )
            assert entry.status == "completed"
            client.files.delete(entry.id)
            gone.add(entry.id)
    finally:
        stop.set()
        for each in askers:
            each.join()
    assert wrong == []


def test_another_tenant_sees_nothing(rag: Rag, client: openai.OpenAI) -> None:
    file_id = upload(client, "a.txt", TEXT)
    store = client.vector_stores.create(name="mine", file_ids=[file_id])
    other = rag.client("somebody-else")
    for attempt in (
        lambda: other.files.retrieve(file_id),
        lambda: other.files.content(file_id),
        lambda: other.files.delete(file_id),
        lambda: other.vector_stores.retrieve(store.id),
        lambda: other.vector_stores.search(store.id, query="试用期"),
        lambda: other.vector_stores.files.list(store.id),
        lambda: other.vector_stores.delete(store.id),
        lambda: other.vector_stores.files.create(other.vector_stores.create().id, file_id=file_id),
    ):
        with pytest.raises(openai.NotFoundError):
            attempt()
    assert client.files.retrieve(file_id).id == file_id


def test_an_operators_store_that_an_assistant_names_can_be_searched_and_nothing_else(
    rag: Rag, labour_law: str
) -> None:
    user = rag.client("a-user")
    assert user.vector_stores.search(labour_law, query="试用期").data
    with pytest.raises(openai.NotFoundError):
        user.vector_stores.retrieve(labour_law)
    with pytest.raises(openai.NotFoundError):
        user.vector_stores.delete(labour_law)


def test_a_key_limited_to_some_knowledge_is_held_to_it(rag: Rag, client: openai.OpenAI) -> None:
    tenant = client.default_headers["x-praxis-tenant"]
    store = client.vector_stores.create(name="secret")
    limited = rag.client(str(tenant), knowledge="other")
    with pytest.raises(openai.PermissionDeniedError, match="secret"):
        limited.vector_stores.search(store.id, query="试用期")
    assert list(limited.vector_stores.list()) == []


def test_nulls_and_empty_bodies_are_what_is_left_out(rag: Rag) -> None:
    body = {
        "name": None,
        "file_ids": None,
        "expires_after": None,
        "metadata": None,
        "chunking_strategy": None,
    }
    store = rag.request("POST", "/v1/vector_stores", json=body).json()
    assert store["name"] == ""
    again = rag.request(
        "POST", f"/v1/vector_stores/{store['id']}", headers={"content-type": "application/json"}
    )
    assert again.status_code == 200
    assert rag.request("POST", "/v1/vector_stores", content=b"").status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("", b"{", "JSON"),
        ("", b"[]", "object"),
        ("", b'{"metadata": {"a": 1}}', "metadata"),
        ("", b'{"expires_after": {"anchor": "last_active_at", "days": 0}}', "days"),
        ("/{store}/search", b"{}", "query"),
        ("/{store}/search", b'{"query": "  "}', "empty"),
        ("/{store}/search", b'{"query": "a", "max_num_results": 51}', "max_num_results"),
        ("/{store}/search", b'{"query": "a", "ranking_options": {"score_threshold": 2}}', "score_threshold"),
        ("/{store}/files", b"{}", "file_id"),
        ("/{store}/file_batches", b"{}", "file_ids"),
    ],
)
def test_wrong_requests_name_the_field(rag: Rag, path: str, body: bytes, says: str) -> None:
    store = rag.request("POST", "/v1/vector_stores").json()["id"]
    reply = rag.request("POST", "/v1/vector_stores" + path.format(store=store), content=body)
    error = reply.json()["error"]
    assert (reply.status_code, error["type"]) == (400, "invalid_request_error")
    assert says in error["message"]


def test_polling_is_asked_for_in_whole_milliseconds(rag: Rag) -> None:
    store = rag.request("POST", "/v1/vector_stores").json()["id"]
    file_id = rag.request(
        "POST", "/v1/files", data={"purpose": "assistants"}, files={"file": ("a.txt", TEXT)}
    ).json()["id"]
    reply = rag.request("POST", f"/v1/vector_stores/{store}/files", json={"file_id": file_id})
    assert int(reply.headers["openai-poll-after-ms"]) > 0
    assert reply.json()["id"] == file_id


def test_nobody_but_the_gateway_gets_in(rag: Rag) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": SECRET}):
        reply = httpx.get(f"{rag.url}/v1/files", headers=asker("clinic") | headers, timeout=60)
        assert reply.status_code == 401
        assert reply.json()["error"]["type"] == "authentication_error"
    assert httpx.get(f"{rag.url}/healthz", timeout=60).status_code == 200


def test_a_file_tells_how_far_it_is_and_what_was_read(client: openai.OpenAI) -> None:
    store = client.vector_stores.create(name="scans").id
    scan = (ROOT / "tests" / "data" / "scan.png").read_bytes()
    content = documents.mixed("第三条 劳动者享有平等就业和选择职业的权利。", scan)
    file = client.files.create(file=("扫描.pdf", content), purpose="assistants")
    created = client.vector_stores.files.create(store, file_id=file.id)
    assert created.to_dict()["progress"]["step"] in ("received", "reading")
    entry = client.vector_stores.files.poll(file.id, vector_store_id=store, poll_interval_ms=200)
    assert entry.status == "completed", entry.last_error
    progress = entry.to_dict()["progress"]
    assert progress["step"] == "ready"
    assert {name: progress[name] for name in ("format", "pages", "pages_recognised", "articles")} == {
        "format": "pdf",
        "pages": 2,
        "pages_recognised": [2],
        "articles": 8,
    }
    found = client.vector_stores.search(
        store, query="组织工会", filters={"type": "eq", "key": "ocr", "value": True}
    )
    assert found.data[0].attributes
    assert (found.data[0].attributes["article"], found.data[0].attributes["ocr"]) == ("第七条", True)
    others = client.vector_stores.search(
        store, query="组织工会", filters={"type": "ne", "key": "ocr", "value": True}
    )
    assert [(each.attributes or {}).get("article") for each in others.data] == ["第三条"]


def test_an_unclear_encoding_is_asked_for_and_the_answer_taken(client: openai.OpenAI) -> None:
    store = client.vector_stores.create(name="encodings").id
    text = "대한민국의 모든 국민은 법 앞에 평등하다."
    file = client.files.create(file=("a.txt", text.encode("euc-kr")), purpose="assistants")
    entry = client.vector_stores.files.create_and_poll(
        vector_store_id=store, file_id=file.id, poll_interval_ms=200
    )
    assert entry.last_error
    assert "`encoding`" in entry.last_error.message
    entry = client.vector_stores.files.create_and_poll(
        vector_store_id=store, file_id=file.id, attributes={"encoding": "euc-kr"}, poll_interval_ms=200
    )
    assert (entry.status, entry.to_dict()["progress"]["encoding"]) == ("completed", "euc_kr")
    hit = client.vector_stores.search(store, query="국민").data[0]
    assert hit.content[0].text.startswith("대한민국의 모든 국민은")
