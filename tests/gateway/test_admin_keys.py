"""The admin API of keys and of what they used."""

import time
from typing import Any

import httpx
import pytest

from praxis.state import connect
from praxis.usage import Bucket, Counts, Usage
from tests.fakes.vllm import VLLM
from tests.gateway.asking import CHAT, MESSAGES, house
from tests.gateway.conftest import Serve
from tests.processes import Gateway, eventually

BODY = {"model": "law", "messages": MESSAGES}


@pytest.fixture
def running(gateway: Serve, engine: VLLM) -> Gateway:
    """A gateway before one engine."""
    return gateway(house(engine))


def admin(running: Gateway, method: str, path: str, **rest: Any) -> httpx.Response:
    return running.request(method, f"/admin/v1{path}", key=running.admin_key, **rest)


def made(running: Gateway, name: str, **fields: Any) -> dict[str, Any]:
    reply = admin(running, "POST", "/keys", json={"name": name, **fields})
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def works(running: Gateway, secret: str) -> bool:
    return running.post(CHAT, key=secret, json=BODY).status_code == 200


def test_a_key_is_made_shown_and_listed(running: Gateway) -> None:
    limits = {"rpm": 60, "tpm": 10_000, "concurrency": 4, "models": ["law"], "expires_at": time.time() + 900}
    key = made(running, "律所", tenant="firm", **limits)
    assert works(running, key["secret"])
    assert {**key, **limits} == key
    shown = admin(running, "GET", "/keys/律所").json()
    assert shown == {name: value for name, value in key.items() if name != "secret"}
    assert shown in admin(running, "GET", "/keys").json()["data"]
    assert key["secret"] not in admin(running, "GET", "/keys").text


def test_limits_change(running: Gateway) -> None:
    key = made(running, "changing", rpm=60, tpm=5)
    changed = admin(running, "PATCH", f"/keys/{key['id']}", json={"rpm": None, "concurrency": 3})
    assert changed.status_code == 200, changed.text
    now = changed.json()
    assert (now["rpm"], now["tpm"], now["concurrency"]) == (None, 5, 3)
    assert admin(running, "PATCH", "/keys/changing", json={"models": ["other"]}).status_code == 200
    assert running.post(CHAT, key=key["secret"], json=BODY).status_code == 403, "this gateway follows at once"


def test_a_rotated_key_has_another_secret_and_the_rest_of_itself(running: Gateway) -> None:
    key = made(running, "rotating", tenant="firm", rpm=1000)
    rotated = admin(running, "POST", "/keys/rotating/rotate", json={"overlap": 600}).json()
    assert works(running, key["secret"])
    assert works(running, rotated["secret"])
    assert rotated["old_secret_until"] == pytest.approx(time.time() + 600, abs=60)
    again = admin(running, "POST", f"/keys/{key['id']}/rotate").json()
    assert running.post(CHAT, key=key["secret"], json=BODY).status_code == 401
    assert running.post(CHAT, key=rotated["secret"], json=BODY).status_code == 401
    assert works(running, again["secret"])
    same = ("id", "name", "tenant", "rpm", "created_at")
    assert [again[field] for field in same] == [key[field] for field in same]


def test_a_rotation_by_the_command_line_reaches_a_running_gateway(running: Gateway) -> None:
    key = made(running, "elsewhere")
    _, secret = running.keys.rotate("elsewhere")
    assert works(running, secret)
    # Two seconds, and what a busy machine adds.
    eventually(lambda: not works(running, key["secret"]), "the old secret ends", within=30)


def test_a_revoked_key_stops_at_once_here(running: Gateway) -> None:
    key = made(running, "leaving")
    assert admin(running, "DELETE", "/keys/leaving").json() == {"id": key["id"], "revoked": True}
    assert running.post(CHAT, key=key["secret"], json=BODY).status_code == 401
    assert admin(running, "GET", f"/keys/{key['id']}").json()["revoked_at"] is not None
    assert admin(running, "DELETE", "/keys/leaving").status_code == 404


WRONG: list[tuple[str, str, dict[str, Any], int, str | None]] = [
    ("POST", "/keys", {"name": "x", "rpm": 0}, 400, "rpm"),
    ("POST", "/keys", {"name": "x", "rpm": "many"}, 400, "rpm"),
    ("POST", "/keys", {"name": "x", "limit": 3}, 400, "limit"),
    ("POST", "/keys", {"name": "x", "expires_at": 1}, 400, "expires_at"),
    ("POST", "/keys", {"name": ""}, 400, "name"),
    ("POST", "/keys", {"name": "test-user"}, 409, "name"),
    ("PATCH", "/keys/nobody", {"rpm": 1}, 404, None),
    ("PATCH", "/keys/test-user", {"tpm": -5}, 400, "tpm"),
    ("PATCH", "/keys/test-user", {"name": "other"}, 400, "name"),
    ("POST", "/keys/nobody/rotate", {}, 404, None),
    ("POST", "/keys/test-user/rotate", {"overlap": -1}, 400, "overlap"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "param"), WRONG)
def test_what_is_wrong_is_named(
    running: Gateway, method: str, path: str, body: dict[str, Any], status: int, param: str | None
) -> None:
    reply = admin(running, method, path, json=body)
    assert reply.status_code == status, reply.text
    assert reply.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/keys"),
        ("POST", "/keys"),
        ("GET", "/keys/x"),
        ("PATCH", "/keys/test-user"),
        ("POST", "/keys/test-user/rotate"),
        ("DELETE", "/keys/test-user"),
        ("GET", "/usage"),
    ],
)
def test_only_admins_see_or_change_keys(running: Gateway, method: str, path: str) -> None:
    assert running.request(method, f"/admin/v1{path}", json={"name": "x"}).status_code == 403
    assert running.request(method, f"/admin/v1{path}", key=None).status_code == 401


def test_usage_is_told_and_filtered(running: Gateway) -> None:
    key = made(running, "counted")
    engine = connect(f"sqlite:///{running.folder / '.praxis' / 'state.db'}")
    hour = int(time.time()) // 3600 * 3600
    Usage(engine).add(
        "test",
        1,
        {
            Bucket(hour, key["id"], "counted", "law", "law"): Counts(3, 1, 30, 20),
            Bucket(hour, key["id"], "counted", "law", "fine"): Counts(2, 0, 7, 3),
        },
    )
    engine.dispose()
    told = admin(running, "GET", "/usage", params={"key": "counted"}).json()["data"]
    assert told == [
        {
            "key": "counted",
            "key_id": key["id"],
            "model": "law",
            "requests": 5,
            "errors": 1,
            "prompt_tokens": 37,
            "completion_tokens": 23,
            "total_tokens": 60,
        }
    ]
    asked = {"key": key["id"], "adapter": "fine", "by": "adapter,hour", "since": str(hour)}
    (fine,) = admin(running, "GET", "/usage", params=asked).json()["data"]
    assert (fine["adapter"], fine["total_tokens"]) == ("fine", 10)
    assert fine["hour"].endswith(":00Z")
    assert admin(running, "GET", "/usage", params={"tenant": "nobody"}).json()["data"] == []
    wrong = admin(running, "GET", "/usage", params={"by": "colour"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "by")
    assert admin(running, "GET", "/usage", params={"since": "yesterday"}).status_code == 400
