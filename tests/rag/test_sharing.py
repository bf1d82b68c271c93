"""Whose documents: two law firms and a hospital behind one gateway, what one lends to another, and what nobody else gets."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.faults import Gate, held, slow
from tests.processes import eventually, praxis
from tests.rag import documents
from tests.rag.house import ASKED, SAYS, STATUTE, STORES, House, housed

pytestmark = pytest.mark.timeout(400)

NOWHERE = "vs_17d0000000000000deadbeefdeadbeef"
LENT = "statutes that are lent"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[House]:
    with housed(tmp_path_factory.mktemp("house"), model) as made:
        yield made


@pytest.fixture(autouse=True)
def calm(house: House) -> None:
    house.engine.script.calm()


@pytest.fixture(scope="module")
def lent(house: House) -> tuple[str, str]:
    """A knowledge base of 甲所 and its file; each test lends it as it needs."""
    return house.filled("甲所", LENT)


@pytest.fixture
def store(house: House, lent: tuple[str, str]) -> Iterator[str]:
    yield lent[0]
    for each in house.ask("甲所", "GET", f"{STORES}/{lent[0]}/shares").json()["data"]:
        whom = {"tenant": each["tenant"]} if each["tenant"] else {"key": each["key"]}
        assert house.unshare("甲所", lent[0], **whom).status_code == 200


def listed(house: House, who: str) -> dict[str, Any]:
    reply = house.ask(who, "GET", STORES).json()["data"]
    return {each["id"]: each["shared"] for each in reply}


def every_way_in(house: House, who: str, store: str, file: str) -> list[httpx.Response]:
    """Everything that one can ask of a knowledge base."""
    one = f"{STORES}/{store}"
    asked: list[tuple[str, str, Any]] = [
        ("GET", one, None),
        ("POST", one, {"name": "mine"}),
        ("DELETE", one, None),
        ("POST", f"{one}/rebuild", {}),
        ("POST", f"{one}/search", {"query": ASKED}),
        ("GET", f"{one}/files", None),
        ("POST", f"{one}/files", {"file_id": file}),
        ("GET", f"{one}/files/{file}", None),
        ("POST", f"{one}/files/{file}", {"attributes": {}}),
        ("DELETE", f"{one}/files/{file}", None),
        ("GET", f"{one}/files/{file}/content", None),
        ("POST", f"{one}/file_batches", {"file_ids": [file]}),
        ("GET", f"{one}/file_batches/vsfb_1", None),
        ("POST", f"{one}/file_batches/vsfb_1/cancel", {}),
        ("GET", f"{one}/file_batches/vsfb_1/files", None),
        ("GET", f"{one}/tuning", None),
        ("POST", f"{one}/tuning", {"questions": []}),
        ("DELETE", f"{one}/tuning", None),
        ("GET", f"{one}/shares", None),
        ("PUT", f"{one}/shares", {"tenant": "医院", "right": "write"}),
        ("DELETE", f"{one}/shares?tenant={who}", None),
    ]
    replies = [house.ask(who, method, path, json=body) for method, path, body in asked]
    return [*replies, house.answer(who, store), house.answer(who, store, stream=True)]


def test_a_page_of_a_lent_pdf_is_seen_through_the_gateway_until_it_is_taken_back(
    house: House, store: str
) -> None:
    with house.client("甲所") as client:
        kept = client.vector_stores.files.upload_and_poll(
            vector_store_id=store, file=("条例.pdf", documents.pdf([SAYS])), poll_interval_ms=100
        )
    page = f"/v1/files/{kept.id}/pages/1"
    marked = {"start": 0, "end": len(SAYS)}
    assert house.ask("乙所", "GET", page, params=marked).status_code == 404
    house.share("甲所", store, tenant="乙所")
    for who in ("甲所", "乙所"):
        reply = house.ask(who, "GET", page, params=marked)
        assert (reply.status_code, reply.headers["content-type"]) == (200, "image/png")
        told = {name: reply.headers[f"x-praxis-{name}"] for name in ("marked", "pages", "passage-pages")}
        assert told == {"marked": "words", "pages": "1", "passage-pages": "1-1"}
        assert 0 < float(reply.headers["x-praxis-marked-top"]) < 0.2
        assert reply.headers["cache-control"] == "private, no-store"
    house.unshare("甲所", store, tenant="乙所")
    assert house.ask("乙所", "GET", page, params=marked).status_code == 404
    house.ask("甲所", "DELETE", f"/v1/files/{kept.id}")
    assert house.ask("甲所", "GET", page).status_code == 404


def test_who_has_no_share_is_told_the_same_as_of_one_that_does_not_exist(
    house: House, store: str, lent: tuple[str, str]
) -> None:
    house.share("甲所", store, tenant="乙所")
    there = every_way_in(house, "医院", store, lent[1])
    nowhere = every_way_in(house, "医院", NOWHERE, lent[1])
    assert {each.status_code for each in there} == {404}
    assert [each.text.replace(store, NOWHERE) for each in there] == [each.text for each in nowhere]
    assert store not in listed(house, "医院")
    for path in ("", "/content"):
        assert house.ask("医院", "GET", f"/v1/files/{lent[1]}{path}").status_code == 404
    assert house.ask("医院", "DELETE", f"/v1/files/{lent[1]}").status_code == 404
    after = house.ask("医院", "GET", STORES, params={"after": store[:-4], "limit": 100}).json()["data"]
    assert store not in {each["id"] for each in after}


def test_a_share_to_read_is_listed_searched_answered_from_and_nothing_more(
    house: House, store: str, lent: tuple[str, str]
) -> None:
    assert house.share("甲所", store, tenant="乙所").json()["right"] == "read"
    assert listed(house, "乙所")[store] == {"tenant": "甲所", "right": "read"}
    assert listed(house, "甲所")[store] is None
    one = house.ask("乙所", "GET", f"{STORES}/{store}").json()
    assert (one["name"], one["shared"]["right"]) == (LENT, "read")
    found = house.search("乙所", store).json()["data"]
    assert found[0]["attributes"]["article"] == "第二条"
    (entry,) = house.ask("乙所", "GET", f"{STORES}/{store}/files").json()["data"]
    assert entry["filename"] == f"{LENT}.txt"
    assert (entry["bytes"], entry["own"]) == (len(STATUTE.encode()), False)
    (mine,) = house.ask("甲所", "GET", f"{STORES}/{store}/files").json()["data"]
    assert mine["own"]
    text = house.ask("乙所", "GET", f"{STORES}/{store}/files/{lent[1]}/content").json()["data"][0]["text"]
    assert text == STATUTE
    message = house.answer("乙所", store).json()["choices"][0]["message"]
    assert {each["file_id"] for each in message["citations"]} == {lent[1]}
    link = message["annotations"][0]["url_citation"]["url"]
    assert "<mark>" in httpx.get(link, timeout=60).text
    refused = {
        each.request.method + " " + each.request.url.path.removeprefix(f"{STORES}/{store}"): each
        for each in every_way_in(house, "乙所", store, lent[1])
        if each.status_code == 403
    }
    assert set(refused) == {
        "POST ",
        "DELETE ",
        "POST /rebuild",
        "POST /files",
        f"POST /files/{lent[1]}",
        f"DELETE /files/{lent[1]}",
        "POST /file_batches",
        "POST /file_batches/vsfb_1/cancel",
        "GET /tuning",
        "POST /tuning",
        "DELETE /tuning",
        "GET /shares",
        "PUT /shares",
        "DELETE /shares",
    }
    assert house.ask("乙所", "GET", f"/v1/files/{lent[1]}/content").status_code == 404
    assert house.ask("乙所", "DELETE", f"/v1/files/{lent[1]}").status_code == 404
    assert house.unshare("甲所", store, tenant="乙所").status_code == 200
    assert {each.status_code for each in every_way_in(house, "乙所", store, lent[1])} == {404}
    assert store not in listed(house, "乙所")
    gone = httpx.get(link, timeout=60)
    assert gone.status_code == 404
    assert "no longer shared" in gone.json()["error"]["message"]
    assert STATUTE[-20:-2] not in gone.text


def test_a_share_with_a_key_is_that_keys_alone(house: House, store: str) -> None:
    assert house.share("甲所", store, key=house.ids["乙所"]).json()["key"] == house.ids["乙所"]
    assert house.search("乙所", store).status_code == 200
    assert house.search("乙所-2", store).status_code == 404
    assert store not in listed(house, "乙所-2")
    message = house.answer("乙所", store).json()["choices"][0]["message"]
    link = message["annotations"][0]["url_citation"]["url"]
    assert httpx.get(link, timeout=60).status_code == 200
    assert httpx.get(link.replace(house.ids["乙所"], house.ids["医院"]), timeout=60).status_code == 403
    assert house.unshare("甲所", store, key=house.ids["乙所"]).status_code == 200
    assert house.search("乙所", store).status_code == 404
    assert httpx.get(link, timeout=60).status_code == 404


def test_the_greater_of_two_rights_holds_and_each_ends_by_itself(house: House, store: str) -> None:
    house.share("甲所", store, "read", tenant="乙所")
    house.share("甲所", store, "write", key=house.ids["乙所"])
    assert listed(house, "乙所")[store] == {"tenant": "甲所", "right": "write"}
    assert listed(house, "乙所-2")[store] == {"tenant": "甲所", "right": "read"}
    house.unshare("甲所", store, key=house.ids["乙所"])
    assert listed(house, "乙所")[store] == {"tenant": "甲所", "right": "read"}
    house.share("甲所", store, "write", tenant="乙所")
    house.share("甲所", store, "read", tenant="乙所")
    assert listed(house, "乙所")[store] == {"tenant": "甲所", "right": "read"}


def test_with_write_files_come_and_go_and_the_knowledge_base_stays(house: House) -> None:
    store, file = house.filled("甲所", "case files")
    house.share("甲所", store, "write", tenant="乙所")
    theirs = house.add("乙所", store, "乙所.txt", STATUTE.replace("七册", "九册"))
    owner = house.ask("甲所", "GET", f"{STORES}/{store}/files").json()["data"]
    assert {each["id"] for each in owner} == {file, theirs}
    assert theirs in {each["file_id"] for each in house.search("甲所", store).json()["data"]}
    for method, path in (("DELETE", ""), ("PUT", "/shares"), ("POST", "/rebuild")):
        refused = house.ask("乙所", method, f"{STORES}/{store}{path}", json={"tenant": "医院"})
        assert refused.status_code == 403, path
        assert "owner" in refused.json()["error"]["message"]
    # A file that is not one's own can be taken out, but not deleted, and no other's can be put in.
    assert house.ask("乙所", "DELETE", f"{STORES}/{store}/files/{file}").status_code == 200
    assert house.ask("甲所", "GET", f"/v1/files/{file}").status_code == 200
    assert house.ask("乙所", "POST", f"{STORES}/{store}/files", json={"file_id": file}).status_code == 404
    house.unshare("甲所", store, tenant="乙所")
    assert house.ask("乙所", "DELETE", f"{STORES}/{store}/files/{theirs}").status_code == 404
    assert theirs in {each["file_id"] for each in house.search("甲所", store).json()["data"]}
    assert house.ask("甲所", "DELETE", f"{STORES}/{store}/files/{theirs}").status_code == 200
    assert house.search("甲所", store).json()["data"] == []


def test_a_deleted_knowledge_base_takes_its_shares_along(house: House) -> None:
    store, _ = house.filled("甲所", "short-lived")
    house.share("甲所", store, tenant="乙所")
    assert house.ask("甲所", "DELETE", f"{STORES}/{store}").status_code == 200
    assert store not in listed(house, "乙所")
    assert house.search("乙所", store).status_code == 404


def test_an_admin_shares_and_withdraws_what_is_anyones_but_does_not_read_it(house: House, store: str) -> None:
    assert house.search("admin", store).status_code == 404
    shared = house.share("admin", store, tenant="乙所")
    assert shared.status_code == 200
    (told,) = house.ask("admin", "GET", f"{STORES}/{store}/shares").json()["data"]
    assert told == shared.json()
    assert told["granted_by"].startswith("key_")
    assert house.search("乙所", store).status_code == 200
    assert house.unshare("admin", store, tenant="乙所").status_code == 200
    assert house.search("乙所", store).status_code == 404
    again = house.unshare("admin", store, tenant="乙所")
    assert again.status_code == 404
    assert "is not shared with the tenant `乙所`" in again.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "tenant"),
        ({"tenant": "乙所", "key": "key_1"}, "tenant"),
        ({"tenant": "甲所"}, "tenant"),
        ({"tenant": "x" * 129}, "tenant"),
        ({"tenant": "乙所", "right": "own"}, "right"),
    ],
)
def test_what_is_wrong_with_a_share_is_named(
    house: House, store: str, body: dict[str, Any], field: str
) -> None:
    reply = house.ask("甲所", "PUT", f"{STORES}/{store}/shares", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, field)


def test_a_name_opens_nothing_that_another_tenant_chose_it_for(house: House, store: str) -> None:
    """A key that is limited to a knowledge base, and an assistant, go by names that the operator knows."""
    house.share("甲所", store, tenant="乙所")
    _, limited = house.gateway.keys.create(f"limited-{store[-6:]}", tenant="乙所", knowledge=[LENT])
    by_name = house.gateway.post(f"{STORES}/{store}/search", key=limited, json={"query": ASKED})
    assert by_name.status_code == 403
    _, allowed = house.gateway.keys.create(f"allowed-{store[-6:]}", tenant="乙所", knowledge=[store])
    by_id = house.gateway.post(f"{STORES}/{store}/search", key=allowed, json={"query": ASKED})
    assert by_id.status_code == 200


def test_an_assistant_answers_from_what_is_shared_with_the_operator(
    house: House, store: str, lent: tuple[str, str]
) -> None:
    house.share("甲所", store, tenant="operator")
    assistants = {"lent": {"model": "base", "knowledge": [store]}}
    written = house.rag.file.read_text()
    house.gateway.configure(json.dumps(house.config | {"assistants": assistants}))
    house.rag.file.write_text(written.replace("labour-law", store).replace("labour:", "lent:"))
    try:
        ready = f"{house.rag.url}/readyz"
        eventually(
            lambda: "lent" in httpx.get(ready, timeout=60).json()["assistants"], "rag knows the assistant"
        )
        message = house.answer("医院", model="lent").json()["choices"][0]["message"]
        assert {each["file_id"] for each in message["citations"]} == {lent[1]}
        link = message["annotations"][0]["url_citation"]["url"]
        assert httpx.get(link, timeout=60).status_code == 200
        # The assistant answers from it; whoever asks the assistant does not have it.
        assert house.search("医院", store).status_code == 404
        house.unshare("甲所", store, tenant="operator")
        house.engine.seen.clear()
        assert not house.answer("医院", model="lent").json()["choices"][0]["message"].get("citations")
        assert house.engine.asked == []
        assert httpx.get(link, timeout=60).status_code == 404
    finally:
        house.rag.file.write_text(written)
        house.gateway.configure(json.dumps(house.config))


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
def test_a_question_that_runs_ends_with_the_share_that_it_stands_on(
    house: House, store: str, path: str
) -> None:
    house.share("甲所", store, tenant="乙所")
    house.engine.script.next(slow(gap=0.5))
    asked: dict[str, Any] = {
        "model": "base",
        "stream": True,
        "tools": [{"type": "file_search", "vector_store_ids": [store]}],
    }
    asked |= (
        {"input": ASKED} if path.endswith("responses") else {"messages": [{"role": "user", "content": ASKED}]}
    )
    headers = {"authorization": f"Bearer {house.keys['乙所']}"}
    with house.gateway.http.stream("POST", house.gateway.url + path, json=asked, headers=headers) as reply:
        assert reply.status_code == 200
        lines = reply.iter_lines()
        seen = [next(lines)]
        # The owner's request is on a thread of its own: the client here holds its connection open.
        threading.Thread(target=lambda: house.unshare("甲所", store, tenant="乙所")).start()
        seen += list(lines)
    said = "\n".join(seen)
    assert "There is no vector store" in said
    assert "[DONE]" not in said
    assert "response.completed" not in said
    assert '"quote"' not in said


def answered_while(house: House, store: str, happens: Callable[[], object]) -> httpx.Response:
    """What 乙所 is answered when something `happens` while the model is at it."""
    house.engine.seen.clear()
    gate = Gate()
    house.engine.script.next(held(gate))
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(house.answer, "乙所", store)
        eventually(lambda: house.engine.asked, "the model is asked")
        try:
            happens()
        finally:
            gate.release()
        return asking.result(60)


def test_a_plain_question_that_runs_is_refused_when_its_share_ends(house: House, store: str) -> None:
    house.share("甲所", store, tenant="乙所")
    reply = answered_while(house, store, lambda: house.unshare("甲所", store, tenant="乙所"))
    assert reply.status_code == 404
    assert SAYS[:6] not in reply.text


def test_another_share_that_ends_disturbs_nobody(house: House, store: str) -> None:
    house.share("甲所", store, tenant="乙所")
    house.share("甲所", store, tenant="医院")
    reply = answered_while(house, store, lambda: house.unshare("甲所", store, tenant="医院"))
    assert reply.json()["choices"][0]["message"]["citations"]


def test_the_commands_share_list_and_take_back(house: House, store: str, tmp_path: Path) -> None:
    def run(who: str, *arguments: str) -> tuple[int, str]:
        gateway = {"PRAXIS_API_KEY": house.keys[who], "PRAXIS_GATEWAY_URL": house.gateway.url}
        done = praxis("knowledge", *arguments, cwd=tmp_path, **gateway)
        return done.returncode, done.stdout + done.stderr

    assert "shared with nobody" in run("甲所", "share", LENT)[1]
    assert run("甲所", "share", LENT, "--tenant", "乙所") == (0, f"{LENT}: 乙所 may read.\n")
    assert run("甲所", "share", LENT) == (0, "read   tenant 乙所\n")
    assert f"{store}  甲所/{LENT}  files=1/1  shared to read" in run("乙所", "list")[1]
    assert "第二条" in run("乙所", "search", f"甲所/{LENT}", ASKED)[1]
    assert run("乙所", "search", LENT, ASKED)[0] == 1
    assert "is made" in run("乙所", "create", LENT)[1]
    assert "Nothing was found" in run("乙所", "search", LENT, ASKED)[1]
    run("甲所", "share", LENT, "--tenant", "乙所", "--write")
    refused = run("乙所", "remove", f"甲所/{LENT}", "--yes")
    assert refused == (1, f"`甲所/{LENT}` is shared with you; only its owner deletes it.\n")
    assert len(house.ask("甲所", "GET", f"{STORES}/{store}/files").json()["data"]) == 1
    note = tmp_path / "note.txt"
    note.write_text(STATUTE)
    assert run("乙所", "add", f"甲所/{LENT}", str(note)) == (0, "note.txt: searchable\n")
    assert run("乙所", "remove", f"甲所/{LENT}", "note.txt", "--yes") == (0, "1 files deleted.\n")
    assert run("甲所", "unshare", LENT, "--tenant", "乙所")[0] == 0
    assert run("乙所", "search", f"甲所/{LENT}", ASKED)[0] == 1
