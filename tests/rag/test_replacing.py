"""A file's place in a knowledge base: what it holds, how it was split, and how another takes it."""

import sqlite3
from contextlib import closing
from typing import Any

import openai
import pytest

from tests.processes import eventually
from tests.rag.conftest import Rag
from tests.rag.test_editions import law
from ui.client import taken
from ui.library import Edition, Passage

STORES = "/v1/vector_stores"
OLD, NEW = "第一条 读者每次可以借阅三册。\n", "第一条 读者每次可以借阅九册。\n"


def spoken(number: int) -> str:
    """The article's number, up to 39, as statutes write it."""
    digits = "〇一二三四五六七八九"
    tens, ones = divmod(number, 10)
    return (
        "第"
        + (digits[tens] if tens > 1 else "")
        + ("十" if tens else "")
        + (digits[ones] if ones else "")
        + "条"
    )


class Desk:
    """A knowledge base of a tenant's own, by plain HTTP."""

    def __init__(self, rag: Rag, tenant: str) -> None:
        self.rag, self.tenant, self.sdk = rag, tenant, rag.client(tenant)
        self.store = self.sdk.vector_stores.create(name=tenant).id

    def call(self, method: str, path: str, **rest: Any) -> Any:
        return self.rag.request(method, path, tenant=self.tenant, **rest)

    def upload(self, name: str, text: str | bytes) -> str:
        content = text.encode() if isinstance(text, str) else text
        return self.sdk.files.create(file=(name, content), purpose="assistants").id

    def put(self, file: str, **body: Any) -> Any:
        return self.call("POST", f"{STORES}/{self.store}/files", json={"file_id": file} | body)

    def settled(self, file: str) -> dict[str, Any]:
        entry: dict[str, Any] = {}

        def done() -> bool:
            entry.update(self.call("GET", f"{STORES}/{self.store}/files/{file}").json())
            return entry["status"] != "in_progress"

        eventually(done, "the file is read", within=200)
        return entry

    def added(self, name: str, text: str | bytes, **body: Any) -> tuple[str, dict[str, Any]]:
        file = self.upload(name, text)
        assert self.put(file, **body).status_code == 200
        return file, self.settled(file)

    def found(self, query: str = "读者每次可以借阅几册") -> list[str]:
        hits = self.sdk.vector_stores.search(self.store, query=query, max_num_results=50).data
        return sorted(each.filename for each in hits)

    def entries(self) -> dict[str, Any]:
        listed = self.call("GET", f"{STORES}/{self.store}/files").json()["data"]
        return {each["filename"]: each for each in listed}


@pytest.fixture
def desk(rag: Rag, request: pytest.FixtureRequest) -> Desk:
    return Desk(rag, f"desk-{request.node.name.encode().hex()[:40]}")


def test_a_file_tells_which_editions_of_which_laws_it_holds(desk: Desk) -> None:
    old, _ = desk.added("2009.txt", law("2009年8月27日", "一百五十"))
    new, told = desk.added("2018.txt", law("2018年12月29日", "二百", "2019年1月1日"))
    desk.added("备忘.txt", "请财务核对加班工资。")
    title = "中华人民共和国示例工资法"
    assert told["editions"] == [
        {"title": title, "version": "2018-12-29", "effective": "2019-01-01", "until": None, "superseded": False}
    ]  # fmt: skip
    assert taken(Edition, told["editions"][0]).title == title, "the pages read it as it is told"
    listed = {name: each["editions"] for name, each in desk.entries().items()}
    assert listed["2009.txt"] == [
        {"title": title, "version": "2009-08-27", "effective": "2009-08-27", "until": "2019-01-01", "superseded": True}
    ]  # fmt: skip
    assert listed["2018.txt"] == told["editions"]
    assert listed["备忘.txt"] == []
    desk.sdk.files.delete(new)
    again = desk.call("GET", f"{STORES}/{desk.store}/files/{old}").json()["editions"][0]
    assert (again["until"], again["superseded"]) == (None, False)


def test_how_a_file_was_split_is_read_page_by_page(desk: Desk) -> None:
    articles = "".join(f"第{number}条 " + f"读者编号{number}的规定。\n\n" for number in range(1, 31))
    file, _ = desk.added("规则.txt", "青云市图书馆规则\n\n" + articles)
    path = f"{STORES}/{desk.store}/files/{file}/passages"
    seen: list[dict[str, Any]] = []
    while True:
        page = desk.call("GET", path, params={"limit": 12, "after": len(seen)}).json()
        seen += page["data"]
        if not page["has_more"]:
            break
    text = desk.call("GET", f"{STORES}/{desk.store}/files/{file}/content").json()["data"][0]["text"]
    assert [each["number"] for each in seen] == list(range(1, page["total"] + 1))
    assert all(text[each["start"] : each["end"]] == each["text"] for each in seen)
    assert [each["article"] for each in seen if each["article"]] == [spoken(each) for each in range(1, 31)]
    assert [taken(Passage, each).text for each in seen] == [each["text"] for each in seen]
    assert all(each["searchable"] for each in seen if each["article"])
    at = desk.call("GET", path, params={"at": seen[7]["end"] - 1, "limit": 1}).json()["data"]
    assert [each["number"] for each in at] == [8]
    assert desk.call("GET", path, params={"after": 999}).json()["data"] == []
    assert desk.call("GET", path, params={"limit": 101}).status_code == 400
    assert desk.rag.request("GET", path, tenant="stranger").status_code == 404


def test_a_file_takes_the_place_of_another_once_it_is_read(desk: Desk) -> None:
    old, _ = desk.added("旧.txt", OLD, attributes={"matter": "A-1", "encoding": "utf-8"})
    new, told = desk.added("新.txt", NEW, replaces=old)
    assert (told["status"], told["replaces"], told["attributes"]) == ("completed", None, {"matter": "A-1"})
    assert desk.found() == ["新.txt"]
    assert desk.entries().keys() == {"新.txt"}
    with pytest.raises(openai.NotFoundError):
        desk.sdk.files.retrieve(old)
    assert not (desk.rag.folder / ".praxis" / "rag" / "files" / old).exists()
    assert [each.id for each in desk.sdk.files.list()] == [new]
    with closing(sqlite3.connect(desk.rag.folder / ".praxis" / "state.db")) as state:
        query = "SELECT action, object, part, key_id, detail FROM audit WHERE ? IN (object, part) ORDER BY id"
        lines = list(state.execute(query, (old,)))
    assert [line[:2] for line in lines] == [
        ("file.add", old), ("knowledge.attach", desk.store), ("knowledge.detach", desk.store), ("file.delete", old)
    ]  # fmt: skip
    assert [line[3:] for line in lines[2:]] == [("praxis", f"replaced by {new}")] * 2


def test_a_file_that_cannot_be_read_replaces_nothing(desk: Desk) -> None:
    old, _ = desk.added("旧.txt", OLD)
    new, told = desk.added("新.pdf", b"MZ\x90 a program", replaces=old)
    assert (told["status"], told["replaces"]) == ("failed", old)
    assert desk.found() == ["旧.txt"]
    desk.sdk.files.delete(new)
    assert desk.found() == ["旧.txt"]


def test_a_replaced_file_stays_where_else_it_stands(desk: Desk) -> None:
    old, _ = desk.added("旧.txt", OLD)
    other = desk.sdk.vector_stores.create(name="别处").id
    desk.sdk.vector_stores.files.create_and_poll(old, vector_store_id=other, poll_interval_ms=100)
    assert desk.call("GET", f"/v1/files/{old}").json()["vector_store_ids"] == [desk.store, other]
    desk.added("新.txt", NEW, replaces=old)
    assert desk.found() == ["新.txt"]
    hits = desk.sdk.vector_stores.search(other, query="借阅几册").data
    assert [each.filename for each in hits] == ["旧.txt"]
    assert desk.call("GET", f"/v1/files/{old}").json()["vector_store_ids"] == [other]


def test_what_cannot_be_replaced_is_refused_and_changes_nothing(desk: Desk) -> None:
    old, _ = desk.added("旧.txt", OLD)
    new = desk.upload("新.txt", NEW)
    assert desk.put(new, replaces="file-none").status_code == 404
    assert desk.put(old, replaces=old).status_code == 409
    assert desk.put(new, replaces=7).status_code == 400
    assert desk.entries().keys() == {"旧.txt"}
    assert desk.put(new).status_code == 200
    assert desk.settled(new)["status"] == "completed"
    assert desk.put(new, replaces=old).status_code == 409
    assert desk.found() == ["新.txt", "旧.txt"]


@pytest.mark.timeout(400)
def test_a_process_that_dies_half_way_replaces_whole_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, model: Any
) -> None:
    with Rag(tmp_path_factory.mktemp("rag"), model) as rag:
        desk = Desk(rag, "desk")
        old, _ = desk.added("旧.txt", OLD)
        new = desk.upload("新.txt", NEW + "".join(f"第{each}条 其他规定{each}。\n" for each in range(2, 200)))
        assert desk.put(new, replaces=old).json()["replaces"] == old
        assert desk.found() == ["旧.txt"]
        rag.kill()
        rag.start()
        assert desk.settled(new)["status"] == "completed"
        assert "旧.txt" not in desk.found()
        assert desk.entries().keys() == {"新.txt"}
