"""What was asked is forgotten: when its time is over, exactly and once; on request, at once and out of the files too."""

import base64
import itertools
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from praxis.state import connect
from tests.gateway.asking import house
from tests.gateway.conftest import Serve
from tests.gateway.test_audit import TRAIL, told, trail
from tests.gateway.test_votes import compare
from tests.processes import Gateway, eventually, praxis

CONVERSATIONS = "/v1/conversations"
ERASURES = "/admin/v1/erasures"
DAY = 86_400
SAID = "Wolfram-7419-Zyanid"
"""What nobody else would write."""
NAMES = itertools.count()


@pytest.fixture
def running(gateway: Serve) -> Gateway:
    return gateway(house("http://127.0.0.1:9"))


def begin(running: Gateway, key: str, times: int = 1) -> str:
    """A conversation in which that was said, and stands in a picture."""
    said = {"type": "input_text", "text": f"{SAID} " * times}
    seen = base64.b64encode(b"\x89PNG\r\n\x1a\n" + SAID.encode() * times).decode()
    shown = {"type": "input_image", "image_url": f"data:image/png;base64,{seen}"}
    item = {"role": "user", "content": [said, shown]}
    reply = running.post(CONVERSATIONS, key=key, json={"metadata": {"title": SAID}, "items": [item] * 3})
    assert reply.status_code == 200, reply.text
    return str(reply.json()["id"])


def alive(running: Gateway, key: str, conversation: str) -> bool:
    return running.get(f"{CONVERSATIONS}/{conversation}", key=key).status_code == 200


def age(running: Gateway, table: str, days: float, **which: Any) -> None:
    """Have rows of a table as old as that."""
    column = {"conversation": "updated_at", "vote": "created_at", "audit": "at"}[table]
    ((name, value),) = which.items()
    engine = connect(json.loads(running.file.read_text()).get("state") or state_of(running))
    with engine.begin() as connection:
        changed = connection.execute(
            sa.text(f"UPDATE {table} SET {column} = :at WHERE {name} = :value"),
            {"at": time.time() - days * DAY, "value": value},
        )
    engine.dispose()
    assert changed.rowcount


def state_of(running: Gateway) -> str:
    return f"sqlite:///{running.folder / '.praxis' / 'state.db'}"


def found_in_files(running: Gateway) -> list[str]:
    """The files of the gateway's folder in which that still stands."""
    files = [each for each in running.folder.rglob("*") if each.is_file()]
    return [each.name for each in files if SAID.encode() in each.read_bytes()]


def keeping(config: str, **periods: float) -> str:
    return json.dumps(json.loads(config) | {"retention": periods})


@pytest.fixture
def several(tmp_path: Path, state: str) -> Iterator[list[Gateway]]:
    """Two gateways on one state, one of them of two workers."""
    config = json.dumps(json.loads(house("http://127.0.0.1:9")) | {"state": state})
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with ExitStack() as stack:
        one = stack.enter_context(Gateway(tmp_path / "one", config, "--workers", "2"))
        yield [one, stack.enter_context(Gateway(tmp_path / "two", config, beside=one))]


def test_exactly_what_is_over_goes_and_once_however_many_gateways_look(several: list[Gateway]) -> None:
    one, two = several
    tenant = f"forgetting-{next(NAMES)}"
    key = one.keys.create(tenant)[1]
    conversations = [begin(one, key) for _ in range(30)]
    compared = [compare(one, key) for _ in range(4)]
    votes = [each.vote("a").json()["id"] for each in compared]
    old, kept = conversations[:25], conversations[25:]
    for each in old:
        age(one, "conversation", 30.01, id=each)
    for each in kept:
        age(one, "conversation", 29.99, id=each)
    age(one, "vote", 7.01, id=votes[0])
    age(one, "vote", 6.99, id=votes[1])
    # Of what another says in it a conversation is as young.
    used = old.pop()
    kept.append(used)
    assert one.post(
        f"{CONVERSATIONS}/{used}/items", key=key, json={"items": [{"role": "user", "content": "?"}]}
    )
    before = trail(one, tenant=tenant)
    for each in several:
        each.write(keeping(each.file.read_text(), conversations=30, votes=7))
    eventually(lambda: len(trail(two, tenant=tenant)) == len(before) + 25, "24 conversations and a vote go")
    lines = trail(one, tenant=tenant)[len(before) :]
    assert {each["key_id"] for each in lines} == {"praxis"}
    assert sorted(told(lines)) == sorted(
        [
            ("vote.delete", votes[0], compared[0].conversation),
            *(("conversation.delete", each, None) for each in old),
        ]
    )
    assert SAID not in json.dumps(lines)
    assert not any(alive(one, key, each) for each in old)
    assert all(alive(two, key, each) for each in kept)
    assert {each["id"] for each in compared[0].listed()} == set(votes[1:])


def test_the_trail_itself_is_kept_for_its_time(several: list[Gateway]) -> None:
    one, two = several
    tenants = [f"trailing-{next(NAMES)}" for _ in range(2)]
    keys = [one.keys.create(each)[1] for each in tenants]
    conversations = [begin(one, each) for each in keys]
    for key, conversation in zip(keys, conversations, strict=True):
        one.get(f"{CONVERSATIONS}/{conversation}/items", key=key)
    age(one, "audit", 365.01, tenant=tenants[0])
    age(one, "audit", 364.99, tenant=tenants[1])
    for each in several:
        each.write(keeping(each.file.read_text(), audit=365))
    eventually(lambda: not trail(two, tenant=tenants[0]), "the old line goes")
    assert told(trail(two, tenant=tenants[1])) == [("conversation.read", conversations[1], None)]
    (line,) = trail(one, action="audit.delete")
    assert (line["object"], line["key_id"]) == ("*", "praxis")
    assert line["detail"].startswith("1 until ")
    assert all(alive(one, key, each) for key, each in zip(keys, conversations, strict=True))


def test_unset_everything_is_kept(running: Gateway) -> None:
    key = running.keys.create(f"keeping-{next(NAMES)}")[1]
    conversation, other = begin(running, key), begin(running, key)
    for each in (conversation, other):
        age(running, "conversation", 20_000, id=each)
    # The next round begins with the change; the audit trail's period is none of the conversations'.
    running.configure(keeping(house("http://127.0.0.1:9"), audit=30_000))
    running.configure(keeping(house("http://127.0.0.1:9"), conversations=30_000))
    age(running, "conversation", 30_001, id=other)
    running.configure(keeping(house("http://127.0.0.1:9"), conversations=30_000))
    eventually(lambda: not alive(running, key, other), "a round is over")
    assert alive(running, key, conversation)


def erase(running: Gateway, secret: str = "", **whom: str) -> httpx.Response:
    return running.post(ERASURES, key=secret or running.admin_key, json=whom)


def test_a_tenant_is_erased_whole_and_nobody_else(own_gateway: Serve) -> None:
    running = own_gateway(house("http://127.0.0.1:9"))
    tenant, bystander = f"erased-{next(NAMES)}", f"bystander-{next(NAMES)}"
    keys = [running.keys.create(f"{tenant}-{each}", tenant=tenant)[1] for each in "ab"]
    other = running.keys.create(bystander)[1]
    for key in keys:
        # Enough to fill pages of the database, and to leave some that are freed and not used again.
        for size in (1, 200, 2000):
            begin(running, key, size)
    judged = compare(running, keys[0])
    judged.vote("a", comment=SAID)
    judged.vote("b", key=keys[1])
    apart = compare(running, other)
    kept = apart.vote("a").json()["id"]
    lines = len(trail(running, tenant=tenant))
    assert lines
    theirs = trail(running, tenant=bystander)
    assert found_in_files(running)
    reply = erase(running, tenant=tenant)
    assert reply.status_code == 200, reply.text
    assert reply.json() == {
        "object": "erasure",
        "tenant": tenant,
        "key_id": None,
        "conversations": 7,
        "items": 21,
        "votes": 2,
        "audit": lines,
    }
    assert found_in_files(running) == []
    assert trail(running, tenant=tenant) == []
    assert running.get(CONVERSATIONS, key=keys[0]).json()["data"] == []
    assert running.get("/v1/votes", key=keys[1]).json()["data"] == []
    (line,) = trail(running, object=tenant)
    assert (line["action"], line["key"]) == ("history.erase", "test-admin")
    assert line["detail"] == f"conversations=7 items=21 votes=2 audit={lines}"
    assert trail(running, tenant=bystander) == theirs
    assert [each["id"] for each in apart.listed()] == [kept]
    again = erase(running, tenant=tenant).json()
    assert (again["conversations"], again["items"], again["votes"], again["audit"]) == (0, 0, 0, 0)


def test_a_key_is_erased_and_its_colleagues_stay(running: Gateway, tmp_path: Path) -> None:
    tenant = f"firm-{next(NAMES)}"
    (leaver, gone), (_, stays) = (running.keys.create(f"{tenant}-{each}", tenant=tenant) for each in "ab")
    begin(running, gone)
    theirs = compare(running, stays)
    theirs.vote("a", key=gone)
    kept = theirs.vote("b").json()["id"]
    running.keys.revoke(leaver.key_id)
    lines = len(trail(running, key=leaver.key_id))
    arguments = ("erase", "--key", leaver.key_id, "--url", running.url)
    done = praxis(*arguments, "--yes", cwd=tmp_path, PRAXIS_API_KEY=running.admin_key)
    assert (done.returncode, done.stdout) == (
        0,
        f"Erased of the key `{leaver.key_id}`: 1 conversations with 3 questions and answers, 1 votes, "
        f"{lines} audit lines.\n",
    )
    assert trail(running, key=leaver.key_id) == []
    # What others did to the key is their line: it was made, revoked and erased.
    assert [each["action"] for each in trail(running, object=leaver.key_id)] == [
        "key.create",
        "key.revoke",
        "history.erase",
    ]
    assert [each["id"] for each in theirs.listed(key=stays)] == [kept]
    assert alive(running, stays, theirs.conversation)
    unsure = praxis(*arguments, cwd=tmp_path, PRAXIS_API_KEY=running.admin_key)
    assert unsure.returncode == 1
    as_json = praxis(*arguments, "--yes", "--json", cwd=tmp_path, PRAXIS_API_KEY=running.admin_key)
    assert json.loads(as_json.stdout)["key_id"] == leaver.key_id
    for wrong in ((), ("--key", "a", "--tenant", "b")):
        refused = praxis("erase", *wrong, "--yes", cwd=tmp_path, PRAXIS_API_KEY=running.admin_key)
        assert (refused.returncode, "say of whom" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("whom", "status"),
    [({}, 400), ({"tenant": "a", "key": "b"}, 400), ({"tenant": ""}, 400), ({"key": "key_nobody"}, 404)],
)
def test_an_erasure_names_one(running: Gateway, whom: dict[str, str], status: int) -> None:
    reply = erase(running, **whom)
    assert reply.status_code == status, reply.text


def test_of_whom_is_asked_in_words_of_our_own(running: Gateway) -> None:
    assert erase(running).json()["error"]["message"] == "Name a `tenant` or a `key`."


def test_only_admins_erase(running: Gateway) -> None:
    key = running.keys.create(f"user-{next(NAMES)}")[1]
    conversation = begin(running, key)
    assert erase(running, key, tenant="test-admin").status_code == 403
    assert running.get(TRAIL, key=key).status_code == 403
    assert alive(running, key, conversation)


def test_what_people_delete_themselves_leaves_the_files_with_the_next_round(own_gateway: Serve) -> None:
    running = own_gateway(house("http://127.0.0.1:9"))
    ours = begin(running, running.user_key, 500)
    another = running.keys.create("another")[1]
    assert running.request("DELETE", f"{CONVERSATIONS}/{ours}", key=another).status_code == 404
    assert found_in_files(running)
    assert running.request("DELETE", f"{CONVERSATIONS}/{ours}").status_code == 200
    running.configure(house("http://127.0.0.1:9"))
    eventually(lambda: not found_in_files(running), "it stands in no file")
