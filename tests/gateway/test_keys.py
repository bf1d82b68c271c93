"""What a key may do."""

import time

import pytest

from tests.fakes.vllm import VLLM
from tests.gateway.asking import CHAT, MESSAGES, house
from tests.gateway.conftest import Serve
from tests.processes import Gateway, eventually

BODY = {"model": "law", "messages": MESSAGES}


@pytest.fixture
def running(gateway: Serve, engine: VLLM) -> Gateway:
    """A gateway before one engine."""
    return gateway(house(engine))


ADMIN = [
    ("POST", "/admin/v1/reload"),
    ("GET", "/admin/v1/adapters"),
    ("POST", "/admin/v1/adapters"),
    ("DELETE", "/admin/v1/adapters/x"),
]


@pytest.mark.parametrize(("method", "path"), ADMIN)
def test_a_user_s_key_cannot_administer(running: Gateway, method: str, path: str) -> None:
    reply = running.request(method, path)
    assert reply.status_code == 403
    assert reply.json()["error"]["type"] == "permission_error"
    assert "admin" in reply.json()["error"]["message"]


def test_an_admin_s_key_may_ask_too(running: Gateway) -> None:
    assert running.post(CHAT, key=running.admin_key, json=BODY).status_code == 200
    assert running.get("/v1/models", key=running.admin_key).status_code == 200


def test_a_revoked_key_is_worth_nothing(running: Gateway) -> None:
    principal, secret = running.keys.create("leaver")
    assert running.post(CHAT, key=secret, json=BODY).status_code == 200
    running.keys.revoke(principal.key_id)
    eventually(lambda: running.post(CHAT, key=secret, json=BODY).status_code == 401, "the key is refused")
    assert running.get("/v1/models", key=secret).status_code == 401


def test_an_expired_key_is_worth_nothing(running: Gateway) -> None:
    _, secret = running.keys.create("trainee", expires_at=time.time() + 10)
    assert running.post(CHAT, key=secret, json=BODY).status_code == 200
    eventually(lambda: running.post(CHAT, key=secret, json=BODY).status_code == 401, "the key is refused")


def test_a_key_made_while_the_gateway_runs_works_at_once(running: Gateway) -> None:
    _, secret = running.keys.create("joiner")
    assert running.post(CHAT, key=secret, json=BODY).status_code == 200


def test_a_key_sees_and_uses_only_its_models(running: Gateway, engine: VLLM, stream: bool) -> None:
    _, secret = running.keys.create(f"narrow-{stream}", models=["other"])
    reply = running.post(CHAT, key=secret, json={**BODY, "stream": stream})
    assert reply.status_code == 403
    assert reply.json()["error"]["type"] == "permission_error"
    assert "`law`" in reply.json()["error"]["message"]
    assert not engine.asked
    listing = running.get("/v1/models", key=secret).json()["data"]
    assert not {"law", "default"} & {card["id"] for card in listing}
    assert running.get("/v1/models/law", key=secret).status_code in (403, 404)


def test_a_key_for_a_model_may_use_its_alias(running: Gateway) -> None:
    _, secret = running.keys.create("wide", models=["law"])
    for name in ("law", "default"):
        assert running.post(CHAT, key=secret, json={**BODY, "model": name}).status_code == 200
    unknown = running.post(CHAT, key=secret, json={**BODY, "model": "nobody"})
    assert unknown.status_code == 404


def test_keys_made_in_quick_succession_work_at_once(running: Gateway) -> None:
    for number in range(8):
        _, secret = running.keys.create(f"new-{number}")
        assert running.post(CHAT, key=secret, json=BODY).status_code == 200
        assert running.post(CHAT, key=f"{secret}x", json=BODY).status_code == 401
