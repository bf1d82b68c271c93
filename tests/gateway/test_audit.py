"""The audit trail as operators read it: of keys, conversations, votes and adapters; filtered, in pages, by HTTP and command."""

import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.vllm import VLLM
from tests.gateway.asking import CHAT, MESSAGES, house
from tests.gateway.conftest import Serve
from tests.gateway.test_adapters import peft
from tests.gateway.test_votes import compare
from tests.processes import Gateway, praxis

TRAIL = "/admin/v1/audit"
KEYS = "/admin/v1/keys"
CONVERSATIONS = "/v1/conversations"
NAMES = itertools.count()


@pytest.fixture
def running(gateway: Serve, engine: VLLM) -> Gateway:
    return gateway(house(engine))


def trail(running: Gateway, **asked: Any) -> list[dict[str, Any]]:
    """The lines that are asked for, the first act first."""
    reply = running.get(TRAIL, key=running.admin_key, params={"limit": 1000} | asked)
    assert reply.status_code == 200, reply.text
    return list(reply.json()["data"])[::-1]


def told(lines: list[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    return [(each["action"], each["object"], each["part"]) for each in lines]


def test_keys_are_made_changed_rotated_and_revoked_by_somebody(running: Gateway, tmp_path: Path) -> None:
    admin = running.keys.get("test-admin")["id"]
    made = running.post(KEYS, key=running.admin_key, json={"name": "audited", "tenant": "律所"}).json()
    for method, path in (("PATCH", ""), ("POST", "/rotate"), ("DELETE", "")):
        body = {"json": {"rpm": 5}} if method == "PATCH" else {}
        assert (
            running.request(method, f"{KEYS}/audited{path}", key=running.admin_key, **body).status_code == 200
        )
    assert running.request("DELETE", f"{KEYS}/audited", key=running.admin_key).status_code == 404
    lines = trail(running, object=made["id"])
    assert [each["action"] for each in lines] == ["key.create", "key.change", "key.rotate", "key.revoke"]
    assert {(each["tenant"], each["key"], each["key_id"]) for each in lines} == {
        ("operator", "test-admin", admin)
    }
    assert lines[0]["detail"] == "律所"
    at_terminal = ("--config", str(running.file))
    secret = praxis("keys", "create", "from-terminal", *at_terminal, cwd=tmp_path)
    assert secret.returncode == 0, secret.stderr
    (line,) = trail(running, object=running.keys.get("from-terminal")["id"])
    assert (line["action"], line["key"]) == ("key.create", None)
    assert line["key_id"].startswith("terminal:")
    assert made["secret"] not in json.dumps(trail(running))
    assert secret.stdout.strip() not in json.dumps(trail(running))


def test_conversations_and_votes_that_are_read_and_deleted(running: Gateway) -> None:
    tenant = f"judging-audited-{next(NAMES)}"
    key = running.keys.create(tenant)[1]
    compared = compare(running, key)
    vote = compared.vote("a", comment="不好").json()["id"]
    conversation, question = compared.conversation, compared.question
    before = len(trail(running, tenant=tenant))
    one = f"{CONVERSATIONS}/{conversation}"
    unread = [CONVERSATIONS, one, "/v1/votes/results", f"/v1/votes?conversation_id={question}"]
    for path in unread:
        assert running.get(path, key=key).status_code == 200
    assert running.get(f"{one}/items/{question}", key=running.user_key).status_code == 404
    for path in (f"{one}/items", f"{one}/items/{question}", "/v1/votes", f"{CONVERSATIONS}?query=加班"):
        assert running.get(path, key=key).status_code == 200
    for path in (f"/v1/votes/{vote}", f"{one}/items/{compared.answers[0]}", one):
        assert running.request("DELETE", path, key=key).status_code == 200
    assert running.request("DELETE", one, key=key).status_code == 404
    lines = trail(running, tenant=tenant)[before:]
    assert told(lines) == [
        ("conversation.read", conversation, None),
        ("conversation.read", conversation, question),
        ("vote.read", conversation, None),
        ("conversation.search", "*", None),
        ("vote.delete", vote, conversation),
        ("conversation.delete", conversation, compared.answers[0]),
        ("conversation.delete", conversation, None),
    ]
    assert not any(said in json.dumps(lines, ensure_ascii=False) for said in ("加班", "不好", "答"))


def test_adapters_that_go_live_and_back(running: Gateway) -> None:
    adapters = "/admin/v1/adapters"
    revisions = []
    for rank in (8, 4):
        peft(running.folder / "adapters" / f"audited-{rank}", rank)
        body = {"name": "audited", "base": "law", "source": f"adapters/audited-{rank}"}
        reply = running.post(adapters, key=running.admin_key, json=body)
        assert reply.status_code == 200, reply.text
        revisions.append(reply.json()["loaded"])
    for action in ("rollback", "promote"):
        body = {"revision": revisions[1]} if action == "promote" else {}
        reply = running.post(f"{adapters}/audited/{action}", key=running.admin_key, json=body)
        assert reply.status_code == 200, reply.text
    assert running.request("DELETE", f"{adapters}/audited", key=running.admin_key).status_code == 200
    first, second = revisions
    lines = trail(running, action="adapter.*", object="audited")
    assert told(lines) == [
        ("adapter.load", "audited", first),
        ("adapter.load", "audited", second),
        ("adapter.rollback", "audited", first),
        ("adapter.promote", "audited", second),
        ("adapter.unload", "audited", second),
    ]
    assert {each["key"] for each in lines} == {"test-admin"}


def test_it_is_read_in_pages_and_by_who_what_and_when(running: Gateway, tmp_path: Path) -> None:
    tenant = f"paged-{next(NAMES)}"
    principal, key = running.keys.create(f"{tenant}-1", tenant=tenant)
    other = running.keys.create(f"{tenant}-2", tenant=tenant)[1]
    began = time.time()
    ids = [running.post(CONVERSATIONS, key=key, json={}).json()["id"] for _ in range(5)]
    for each in ids:
        running.get(f"{CONVERSATIONS}/{each}/items", key=key)
    running.request("DELETE", f"{CONVERSATIONS}/{ids[0]}", key=other)
    everything = trail(running, tenant=tenant)
    assert [each["object"] for each in everything] == [*ids, ids[0]]
    seen: list[Any] = []
    after: dict[str, Any] = {}
    while True:
        page = running.get(TRAIL, key=running.admin_key, params={"tenant": tenant, "limit": 4} | after).json()
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        seen += page["data"]
        after = {"after": page["last_id"]}
        if not page["has_more"]:
            break
    assert seen[::-1] == everything
    assert len(trail(running, tenant=tenant, key=f"{tenant}-1")) == 5
    assert len(trail(running, key=principal.key_id)) == 5
    assert told(trail(running, tenant=tenant, action="conversation.delete")) == [
        ("conversation.delete", ids[0], None)
    ]
    assert len(trail(running, object=ids[0])) == 2
    assert trail(running, tenant=tenant, until=f"{began:.6f}") == []
    assert len(trail(running, tenant=tenant, since=f"{began:.6f}")) == len(trail(running, tenant=tenant))
    for name, value in (("since", "yesterday"), ("limit", "0"), ("after", "x")):
        wrong = running.get(TRAIL, key=running.admin_key, params={name: value})
        assert (wrong.status_code, wrong.json()["error"]["type"]) == (400, "invalid_request_error")
    for refused, code in ((running.user_key, 403), (None, 401)):
        assert running.get(TRAIL, key=refused).status_code == code
    arguments = ("audit", "--tenant", tenant, "--config", str(running.file))
    shown = json.loads(praxis(*arguments, "--format", "json", cwd=tmp_path).stdout)
    assert shown == everything[::-1]
    table = praxis(*arguments, "--action", "conversation.delete", cwd=tmp_path)
    assert f"{tenant}-2" in table.stdout
    assert ids[1] not in table.stdout
    cut = praxis(*arguments, "--limit", "2", cwd=tmp_path)
    assert "There is more" in cut.stderr
    nothing = praxis(*arguments, "--until", "2020-01-01", cwd=tmp_path)
    assert (nothing.returncode, nothing.stdout) == (0, "")


def test_chat_without_documents_is_not_in_it(running: Gateway) -> None:
    before = trail(running)
    assert running.post(CHAT, json={"model": "law", "messages": MESSAGES}).status_code == 200
    assert trail(running) == before
