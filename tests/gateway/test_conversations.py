"""What was said is kept for its tenant: by OpenAI's SDK where that has the call, by plain HTTP where only Praxis has it."""

import base64
import itertools
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import sqlalchemy as sa

from gateway.history.conversations import MOST_ITEMS
from gateway.history.tables import identity
from gateway.history.tables import items as held
from praxis.state import connect
from tests.gateway.asking import house
from tests.gateway.conftest import Serve
from tests.processes import Gateway, praxis

PATH = "/v1/conversations"
QUESTION = {"type": "message", "role": "user", "content": "加班费按什么基数计算？"}
PNG, JPEG = b"\x89PNG\r\n\x1a\n\0one", b"\xff\xd8\xff\xe0two"
NAMES = itertools.count()


@pytest.fixture
def running(gateway: Serve) -> Gateway:
    return gateway(house("http://127.0.0.1:9"))


@pytest.fixture
def key(running: Gateway) -> str:
    """A key of a tenant of its own."""
    return running.keys.create(f"conversing-{next(NAMES)}")[1]


@pytest.fixture
def client(running: Gateway, key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key=key, max_retries=0) as client:
        yield client


def answer(**more: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": "按劳动合同约定的工资。"} | more


def data_url(content: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def asked(*pictures: str) -> dict[str, Any]:
    """A question with pictures."""
    shown = [{"type": "input_image", "image_url": picture} for picture in pictures]
    return {"role": "user", "content": [{"type": "input_text", "text": "这是什么？"}, *shown]}


def begin(running: Gateway, key: str, title: str, *items: dict[str, Any]) -> str:
    reply = running.post(PATH, key=key, json={"metadata": {"title": title}, "items": list(items)})
    assert reply.status_code == 200, reply.text
    return str(reply.json()["id"])


def listed(running: Gateway, key: str, **asked: Any) -> list[str]:
    reply = running.get(PATH, key=key, params=asked)
    assert reply.status_code == 200, reply.text
    return [each["metadata"].get("title") for each in reply.json()["data"]]


def test_the_sdk_keeps_reads_renames_and_deletes(client: openai.OpenAI) -> None:
    made = client.conversations.create(
        metadata={"title": "加班费"}, items=[{"type": "message", "role": "user", "content": "怎么算？"}]
    )
    assert made.id.startswith("conv_")
    assert made.object == "conversation"
    wrote: Any = {"type": "output_text", "text": "按合同。", "annotations": []}
    said: Any = {"type": "message", "role": "assistant", "content": [wrote]}
    added = client.conversations.items.create(made.id, items=[said])
    kept = list(client.conversations.items.list(made.id, order="asc", limit=1))
    assert [(each.type, each.role) for each in kept] == [("message", "user"), ("message", "assistant")]  # type: ignore[union-attr]
    assert client.conversations.items.retrieve(added.data[0].id or "", conversation_id=made.id) == kept[1]
    assert client.conversations.update(made.id, metadata={"title": "工资"}).metadata == {"title": "工资"}
    client.conversations.items.delete(kept[0].id or "", conversation_id=made.id)
    assert len(client.conversations.items.list(made.id).data) == 1
    assert client.conversations.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError, match="There is no conversation"):
        client.conversations.retrieve(made.id)


def test_an_item_keeps_all_that_a_comparison_needs_and_grows(running: Gateway, key: str) -> None:
    conversation = begin(running, key, "加班费", QUESTION)
    items = f"{PATH}/{conversation}/items"
    (question,) = running.get(items, key=key).json()["data"]
    ours = {
        "question_id": question["id"],
        "side": "grounded",
        "model": "labour-law",
        "settings": {"vector_stores": ["vs_1"], "temperature": 0.1, "blind": False},
        "figures": {"first_token": 0.4, "total": 2.5, "completion_tokens": 12},
        "citations": [
            {
                "marker": 1,
                "file_id": "file-1",
                "filename": "劳动法.txt",
                "quote": "百分之一百五十",
                "start": 5,
                "end": 12,
                "verified": True,
                "excerpt": [{"text": "支付不低于工资的"}, {"text": "百分之一百五十", "marked": True}],
            }
        ],
        "unverified": [{"law": "劳动法", "article": "第九百条", "nearest": "第九十条"}],
        "uncited": [
            {
                "marker": 1,
                "file_id": "file-1",
                "filename": "劳动法.txt",
                "quote": "工资",
                "start": 2,
                "end": 4,
            }
        ],
    }
    begun = answer(content="按", status="in_progress", **ours)
    (item,) = running.post(items, key=key, json={"items": [begun]}).json()["data"]
    whole = answer(**ours, finish_reason="stop", thinking="先看合同")
    assert running.post(f"{items}/{item['id']}", key=key, json=whole).json()["status"] == "completed"
    kept = running.get(f"{items}/{item['id']}", key=key).json()
    assert kept["id"] == item["id"]
    assert kept["content"] == [{"type": "output_text", "text": "按劳动合同约定的工资。", "annotations": []}]
    citation = kept.pop("citations")[0]
    assert citation["excerpt"][1] == {"text": "百分之一百五十", "marked": True}
    assert {name: kept[name] for name in ours if name != "citations"} == {
        name: value for name, value in ours.items() if name != "citations"
    }
    assert [each["id"] for each in running.get(items, key=key).json()["data"]] == [item["id"], question["id"]]


def test_pictures_are_kept_with_their_question_and_read_one_by_one(running: Gateway, key: str) -> None:
    """What a picture calls itself is not believed: the second is a JPEG."""
    conversation = begin(running, key, "片子", asked(data_url(PNG), data_url(JPEG)), asked(data_url(PNG)))
    items = f"{PATH}/{conversation}/items"
    second, first = running.get(items, key=key).json()["data"]
    assert first["content"] == [
        {"type": "input_text", "text": "这是什么？"},
        {"type": "input_image", "detail": "auto", "media_type": "image/png", "bytes": len(PNG)},
        {"type": "input_image", "detail": "auto", "media_type": "image/jpeg", "bytes": len(JPEG)},
    ]
    for number, kind, content in ((1, "image/png", PNG), (2, "image/jpeg", JPEG)):
        reply = running.get(f"{items}/{first['id']}/images/{number}", key=key)
        assert (reply.headers["content-type"], reply.content) == (kind, content)
        assert reply.headers["cache-control"] == "private, no-store"
        assert reply.headers["x-content-type-options"] == "nosniff"
    other = running.keys.create(f"stranger-{next(NAMES)}")[1]
    image = f"{items}/{first['id']}/images"
    elsewhere = f"{PATH}/{begin(running, key, '另一个')}/items/{first['id']}/images/1"
    gone = [
        running.get(f"{image}/1", key=other),
        running.get(f"{image}/3", key=key),
        running.get(f"{items}/{second['id']}/images/2", key=key),
        running.get(elsewhere, key=key),
    ]
    assert [reply.status_code for reply in gone] == [404] * len(gone)
    assert [running.get(f"{image}/{number}", key=key).status_code for number in (0, 10**30)] == [400, 400]
    running.post(f"{items}/{first['id']}", key=key, json=asked(data_url(JPEG)))
    assert running.get(f"{image}/1", key=key).content == JPEG
    assert running.get(f"{image}/2", key=key).status_code == 404
    running.request("DELETE", f"{items}/{second['id']}", key=key)
    assert running.get(f"{items}/{second['id']}/images/1", key=key).status_code == 404
    running.request("DELETE", f"{PATH}/{conversation}", key=key)
    assert running.get(f"{image}/1", key=key).status_code == 404


def test_the_sdk_keeps_a_picture(client: openai.OpenAI) -> None:
    shown: Any = {"type": "input_image", "image_url": data_url(PNG), "detail": "high"}
    made = client.conversations.create(items=[{"type": "message", "role": "user", "content": [shown]}])
    (item,) = client.conversations.items.list(made.id).data
    assert item.content[0].type == "input_image"  # type: ignore[union-attr]
    assert item.content[0].detail == "high"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "picture",
    [
        "https://example.org/a.png",
        "data:image/png;base64,",
        "data:image/png;base64,iVBO!",
        "data:text/html;base64,PGI+",
        data_url(b"<svg onload='alert(1)'/>", "svg+xml"),
        data_url(b"<html>", "png"),
        data_url(b"RIFF0000WAVE", "webp"),
    ],
)
def test_what_is_no_picture_is_not_kept(running: Gateway, key: str, picture: str) -> None:
    reply = running.post(PATH, key=key, json={"items": [asked(picture)]})
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert error["param"].startswith("items.0.content")
    assert error["param"].endswith("image_url")
    assert listed(running, key) == []


def test_the_last_used_is_listed_first_and_pages_hold_all_once(running: Gateway, key: str) -> None:
    made = [begin(running, key, str(number)) for number in range(7)]
    running.post(f"{PATH}/{made[2]}/items", key=key, json={"items": [QUESTION]})
    assert listed(running, key)[0] == "2"
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = running.get(PATH, key=key, params={"limit": 3} | after).json()
        seen += [each["metadata"]["title"] for each in page["data"]]
        if not page["has_more"]:
            break
        after = {"after": page["last_id"]}
    assert seen == ["2", "6", "5", "4", "3", "1", "0"]


def test_a_search_finds_titles_and_what_was_said_and_nothing_by_wildcards(running: Gateway, key: str) -> None:
    begin(running, key, "Overtime", QUESTION)
    begin(running, key, "试用期 100%", answer(content="可以解除\0合同"))
    assert listed(running, key, query="overtime") == ["Overtime"]
    assert listed(running, key, query="基数") == ["Overtime"]
    assert listed(running, key, query="解除") == ["试用期 100%"]
    assert listed(running, key, query="100%") == ["试用期 100%"]
    assert listed(running, key, query="_") == listed(running, key, query="查无此话") == []


def test_a_tenant_sees_its_own_by_any_key_and_nobody_elses(running: Gateway, key: str) -> None:
    _, same = running.keys.create(f"same-{next(NAMES)}", tenant=f"house-{next(NAMES)}")
    tenant = running.keys.list()[-1]["tenant"]
    _, colleague = running.keys.create(f"colleague-{next(NAMES)}", tenant=tenant)
    conversation = begin(running, same, "机密", QUESTION)
    item = running.get(f"{PATH}/{conversation}/items", key=colleague).json()["data"][0]["id"]
    assert listed(running, colleague) == ["机密"]
    assert listed(running, key) == listed(running, key, query="加班") == []
    one, items = f"{PATH}/{conversation}", f"{PATH}/{conversation}/items"
    foreign = [
        running.get(one, key=key),
        running.post(one, key=key, json={"metadata": {}}),
        running.request("DELETE", one, key=key),
        running.get(items, key=key),
        running.post(items, key=key, json={"items": [QUESTION]}),
        running.get(f"{items}/{item}", key=key),
        running.post(f"{items}/{item}", key=key, json=QUESTION),
        running.request("DELETE", f"{items}/{item}", key=key),
        running.get(PATH, key=key, params={"after": conversation}),
    ]
    assert [reply.status_code for reply in foreign] == [404] * len(foreign)
    assert {reply.json()["error"]["type"] for reply in foreign} == {"not_found_error"}
    assert running.get(one, key=None).status_code == 401
    other = begin(running, same, "另一个")
    assert running.get(f"{PATH}/{other}/items/{item}", key=same).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"metadata": {"title": "x" * 513}}, "metadata.title"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"items": [QUESTION] * 21}, "items"),
        ({"items": [QUESTION | {"role": "judge"}]}, "items.0.role"),
        ({"items": [QUESTION | {"type": "function_call"}]}, "items.0.type"),
        ({"items": [QUESTION | {"mood": "good"}]}, "items.0.mood"),
        ({"items": [QUESTION | {"citations": [{"marker": 0}]}]}, "items.0.citations.0.marker"),
    ],
)
def test_what_is_wrong_is_named(running: Gateway, key: str, body: dict[str, Any], field: str) -> None:
    reply = running.post(PATH, key=key, json=body)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert reply.json()["error"]["param"].startswith(field)
    assert listed(running, key) == []


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_bound_is_refused(running: Gateway, key: str, chunked: bool) -> None:
    large = b" " * (8 << 20) + b"{}"
    content: Any = iter([large[:1000], large[1000:]]) if chunked else large
    reply = running.post(PATH, key=key, content=content, headers={"content-type": "application/json"})
    assert reply.status_code == 413
    assert reply.json()["error"]["type"] == "request_too_large"


def test_numbers_that_json_lacks_and_broken_text_are_refused(running: Gateway, key: str) -> None:
    head = {"content-type": "application/json"}
    for content in (
        b'{"items": [{"role": "user", "content": "a", "figures": {"total": NaN}}]}',
        b'{"items": [{"role": "user", "content": "\\ud800"}]}',
        b"{",
    ):
        reply = running.post(PATH, key=key, content=content, headers=head)
        assert reply.status_code == 400, reply.text
        assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


def test_a_full_conversation_says_so(running: Gateway, key: str) -> None:
    conversation = begin(running, key, "长谈")
    fill(running, conversation, MOST_ITEMS - 1)
    items = f"{PATH}/{conversation}/items"
    assert running.post(items, key=key, json={"items": [QUESTION]}).status_code == 200
    reply = running.post(items, key=key, json={"items": [QUESTION]})
    assert reply.status_code == 400
    assert "10,000 items at most" in reply.json()["error"]["message"]


def fill(running: Gateway, conversation: str, count: int) -> None:
    """Have it hold so many items, which by HTTP would take minutes."""
    engine = connect(f"sqlite:///{running.folder / '.praxis' / 'state.db'}")
    row = {"conversation_id": conversation, "body": {}, "words": ""}
    with engine.begin() as connection:
        rows = [row | {"id": identity("msg"), "position": position} for position in range(1, count + 1)]
        connection.execute(sa.insert(held), rows)
    engine.dispose()


def test_what_was_said_is_in_no_log_and_outlives_the_process(own_gateway: Serve) -> None:
    running = own_gateway(house("http://127.0.0.1:9"))
    conversation = begin(running, running.user_key, "密", QUESTION)
    log = running.log.read_text()
    assert "加班费" not in log
    assert conversation not in log
    archive = str(running.folder / "b.tar")
    assert praxis("backup", archive, cwd=running.folder).returncode == 0
    running.__exit__()
    with running:
        assert listed(running, running.user_key, query="基数") == ["密"]
