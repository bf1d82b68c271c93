"""The audit trail of documents: every act has its line, nothing that was said is in one, and no crash parts the two."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import eventually, praxis
from tests.rag.conftest import Rag
from tests.rag.house import ASKED, STATUTE, STORES, House, housed

pytestmark = pytest.mark.timeout(900)

TRAIL = "/admin/v1/audit"
Told = tuple[str, str, str | None, str | None]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[House]:
    with housed(tmp_path_factory.mktemp("house"), model) as made:
        yield made


def trail(house: House, **asked: Any) -> list[dict[str, Any]]:
    """The lines that are asked for, the first act first."""
    reply = house.ask("admin", "GET", TRAIL, params={"limit": 1000} | asked)
    assert reply.status_code == 200, reply.text
    return list(reply.json()["data"])[::-1]


def told(lines: list[dict[str, Any]]) -> list[Told]:
    return [(each["action"], each["object"], each["part"], each["detail"]) for each in lines]


def test_each_act_leaves_its_line_and_a_refused_one_none(house: House) -> None:
    store, file = house.filled("甲所", "密卷")
    one = f"{STORES}/{store}"
    house.ask("甲所", "POST", one, json={"name": "密卷之二", "metadata": {"案": "离婚"}})
    house.ask("甲所", "POST", f"{one}/files/{file}", json={"attributes": {"matter": "离婚"}})
    house.search("甲所", store)
    link = house.answer("甲所", store).json()["choices"][0]["message"]["annotations"][0]["url_citation"]
    assert httpx.get(link["url"], timeout=60).status_code == 200
    for path in (f"/v1/files/{file}/content", f"{one}/files/{file}/content"):
        assert house.ask("甲所", "GET", path).status_code == 200
    house.share("甲所", store, "write", tenant="乙所")
    house.unshare("甲所", store, tenant="乙所")
    # What one may not do, lists, and facts about a file leave none.
    for method, path in (("GET", one), ("DELETE", one), ("GET", f"{one}/files/{file}/content")):
        assert house.ask("医院", method, path).status_code == 404
    for path in (STORES, one, f"{one}/files", "/v1/files", f"/v1/files/{file}"):
        assert house.ask("甲所", "GET", path).status_code == 200
    assert house.ask("甲所", "DELETE", f"{one}/files/{file}").status_code == 200
    assert house.search("甲所", store).json()["data"] == []
    assert house.ask("甲所", "DELETE", f"/v1/files/{file}").status_code == 200
    assert house.ask("甲所", "DELETE", one).status_code == 200
    assert trail(house, tenant="医院") == []
    lines = trail(house, tenant="甲所")
    assert {(each["key"], each["key_id"]) for each in lines} == {("甲所", house.ids["甲所"])}
    assert told(lines) == [
        ("knowledge.create", store, None, None),
        ("file.add", file, None, None),
        ("knowledge.attach", store, file, None),
        ("knowledge.change", store, None, "name metadata"),
        ("knowledge.change", store, file, "attributes"),
        ("knowledge.search", store, file, None),
        ("knowledge.ask", store, file, "base"),
        ("file.read", file, None, None),
        ("file.read", file, None, None),
        ("file.read", file, store, None),
        ("knowledge.share", store, "乙所", "write"),
        ("knowledge.unshare", store, "乙所", None),
        ("knowledge.detach", store, file, None),
        ("knowledge.search", store, None, None),
        ("file.delete", file, None, None),
        ("knowledge.delete", store, None, None),
    ]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": ASKED}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": ASKED}], "stream": True}),
        ("/v1/responses", {"input": ASKED}),
        ("/v1/responses", {"input": ASKED, "stream": True}),
    ],
)
def test_a_question_names_the_model_what_was_asked_and_what_it_was_shown(
    house: House, path: str, body: dict[str, Any]
) -> None:
    full, file = house.filled("甲所", "full")
    with house.client("甲所") as client:
        empty = client.vector_stores.create(name="empty").id
    tools = [{"type": "file_search", "vector_store_ids": [full, empty]}]
    reply = house.ask("甲所", "POST", path, json={"model": "base", "tools": tools} | body)
    assert reply.status_code == 200, reply.text
    lines = trail(house, action="knowledge.ask", object=full) + trail(house, object=empty)[1:]
    assert told(lines) == [("knowledge.ask", full, file, "base"), ("knowledge.ask", empty, None, "base")]


def test_plain_chat_is_not_in_it(house: House) -> None:
    before = trail(house)
    assert house.answer("甲所").status_code == 200
    assert trail(house) == before


def test_only_admins_read_it_and_nothing_said_is_in_it(house: House, tmp_path: Path) -> None:
    store, file = house.filled("甲所", "绝密卷宗")
    house.answer("甲所", store)
    for who in ("甲所", "乙所"):
        refused = house.ask(who, "GET", TRAIL, params={"tenant": "甲所"})
        assert (refused.status_code, refused.json()["error"]["type"]) == (403, "permission_error")
        assert store not in refused.text
    with closing(sqlite3.connect(house.config["state"].removeprefix("sqlite:///"))) as state:
        lines = repr(state.execute("SELECT * FROM audit").fetchall())
    assert file in lines
    for said in ("绝密卷宗", ASKED, "图书", "离婚", "matter"):
        assert said not in lines
    arguments = ("--tenant", "甲所", "--object", store, "--format", "json")
    done = praxis("audit", "--config", str(house.gateway.file), *arguments, cwd=tmp_path)
    assert [each["action"] for each in json.loads(done.stdout)] == [
        "knowledge.ask",
        "knowledge.attach",
        "knowledge.create",
    ]


def test_an_erased_tenants_questions_are_in_no_file_and_its_documents_stay(house: House) -> None:
    store, file = house.filled("乙所", "stays")
    secret = "Zyanid-8526"
    messages = [{"role": "user", "content": f"{ASKED} ({secret})"}]
    answered = house.answer("乙所", store, messages=messages).json()["choices"][0]["message"]["content"]
    items = [*messages, {"role": "assistant", "content": f"{answered} {secret}"}]
    body = {"metadata": {"title": secret}, "items": items}
    assert house.ask("乙所", "POST", "/v1/conversations", json=body).status_code == 200

    def written() -> set[str]:
        """The files of the gateway and of rag in which the question stands."""
        folders = (house.gateway.folder, house.rag.folder, house.gateway.folder.parent)
        files = {each for folder in folders for each in folder.rglob("*") if each.is_file()}
        return {each.name for each in files if secret.encode() in content(each)}

    def content(file: Path) -> bytes:
        try:
            return file.read_bytes()
        except FileNotFoundError:  # a draft that has got its name meanwhile
            return b""

    assert written() & {"state.db", "state.db-wal"}
    erased = house.ask("admin", "POST", "/admin/v1/erasures", json={"tenant": "乙所"}).json()
    assert (erased["conversations"], erased["items"]) == (1, 2)
    assert erased["audit"] >= 4
    assert written() == set()
    assert trail(house, tenant="乙所") == []
    assert house.search("乙所", store).json()["data"][0]["file_id"] == file


def test_what_cannot_be_written_down_is_neither_done_nor_shown(house: House) -> None:
    store, file = house.filled("甲所", "unwritten")
    one = f"{STORES}/{store}"
    database = house.config["state"].removeprefix("sqlite:///")

    def execute(statement: str) -> None:
        with closing(sqlite3.connect(database, timeout=30)) as state:
            state.execute(statement)
            state.commit()

    house.engine.seen.clear()
    execute("ALTER TABLE audit RENAME TO away")
    try:
        replies = [
            house.ask("甲所", "DELETE", f"/v1/files/{file}"),
            house.ask("甲所", "DELETE", one),
            house.ask("甲所", "DELETE", f"{one}/files/{file}"),
            house.ask("甲所", "POST", STORES, json={"name": "another"}),
            house.share("甲所", store, tenant="乙所"),
            house.ask("甲所", "GET", f"/v1/files/{file}/content"),
            house.ask("甲所", "GET", f"{one}/files/{file}/content"),
            house.search("甲所", store),
            house.answer("甲所", store),
        ]
        assert {(each.status_code, each.json()["error"]["code"]) for each in replies} == {
            (503, "no_database")
        }
        assert not any("图书" in each.text for each in replies)
        assert house.engine.asked == []
    finally:
        execute("ALTER TABLE away RENAME TO audit")
    assert house.search("甲所", store).json()["data"][0]["file_id"] == file
    assert house.ask("乙所", "GET", one).status_code == 404
    assert "another" not in house.ask("甲所", "GET", STORES).text


def test_a_kill_never_parts_an_act_from_its_line(tmp_path: Path, model: Path) -> None:
    done = 0
    stopping = threading.Event()

    def come_and_go(rag: Rag) -> None:
        """Upload and delete until the process is gone."""
        nonlocal done
        while not stopping.is_set():
            try:
                form = {"data": {"purpose": "assistants"}, "files": {"file": ("a.txt", STATUTE.encode())}}
                file = rag.request("POST", "/v1/files", **form).json()["id"]
                done += 1
                if done % 2:
                    rag.request("DELETE", f"/v1/files/{file}")
            except httpx.TransportError:
                return

    with Rag(tmp_path, model) as rag:
        for last in (False, True):
            begun = done
            askers = [threading.Thread(target=come_and_go, args=(rag,)) for _ in range(4)]
            for each in askers:
                each.start()
            eventually(lambda begun=begun: done > begun + 20, "files come and go", within=300)  # type: ignore[misc]
            rag.kill()
            for each in askers:
                each.join(60)
            with closing(sqlite3.connect(tmp_path / ".praxis" / "state.db")) as state:
                files = {each for (each,) in state.execute("SELECT id FROM rag_file")}
                lines = state.execute("SELECT action, object FROM audit").fetchall()
            added = [each for action, each in lines if action == "file.add"]
            deleted = [each for action, each in lines if action == "file.delete"]
            assert len(added) == len(set(added))
            assert len(deleted) == len(set(deleted))
            assert set(added) - set(deleted) == files
            if not last:
                rag.start()
    stopping.set()
