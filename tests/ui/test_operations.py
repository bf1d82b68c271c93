"""The operations page on a running gateway: what an admin sees and changes there, and nobody else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.fakes.vllm import VLLM
from tests.gateway.asking import house
from tests.processes import Gateway, eventually
from tests.ui.script import leave, press, shown, turn_to, visit


@pytest.fixture
def engine() -> Iterator[VLLM]:
    with VLLM() as running:
        yield running


@pytest.fixture
def other() -> Iterator[VLLM]:
    with VLLM() as running:
        yield running


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("operations"), house("http://127.0.0.1:9")) as running:
        yield running


@pytest.fixture
def running(standing: Gateway, engine: VLLM, other: VLLM, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """A gateway before two replicas, which both have answered."""
    monkeypatch.setenv("PRAXIS_GATEWAY_URL", standing.url)
    standing.configure(house(engine, other))
    eventually(lambda: all(each["models"] for each in replicas(standing)), "both have answered")
    return standing


def replicas(running: Gateway) -> list[dict[str, Any]]:
    """The replicas as the admin API tells of them."""
    (backend,) = running.get("/admin/v1/backends", key=running.admin_key).json()["data"]
    return list(backend["replicas"])


@pytest.fixture
def admin(running: Gateway) -> Iterator[AppTest]:
    """The page, as an admin key sees it."""
    app = visit(running.admin_key)
    yield turn_to(app, "operations")
    leave(app)


def test_a_user_key_neither_sees_the_page_nor_gets_what_it_shows(running: Gateway) -> None:
    app = visit(running.user_key)
    assert app.chat_input
    with pytest.raises(KeyError):
        turn_to(app, "operations")
    for path in ("status", "adapters", "keys", "usage"):
        assert running.get(f"/admin/v1/{path}").status_code == 403
    leave(app)


def test_the_fleet_is_shown_with_what_is_the_matter(
    admin: AppTest, running: Gateway, engine: VLLM, other: VLLM
) -> None:
    page = shown(admin)
    for text in (engine.url, other.url, "local", "vllm", "qwen", "就绪", "2 / 2"):
        assert text in page
    assert "无法连接" not in page
    other.refuse()
    eventually(lambda: running.metric("praxis_replica_up") == 1, "the lost replica is noticed")
    page = shown(admin.run())
    for text in ("无法连接", "该地址无人应答", "1 / 2"):
        assert text in page


def test_a_refused_configuration_is_told(admin: AppTest, running: Gateway) -> None:
    before = running.file.read_text()
    running.write("models: {")
    assert running.reload().status_code == 400
    assert "修改后的配置没有生效" in shown(admin.run())
    running.configure(before)
    assert "修改后的配置没有生效" not in shown(admin.run())


def test_no_engine_key_and_no_key_of_ones_own_is_on_the_page(
    running: Gateway, engine: VLLM, other: VLLM
) -> None:
    running.configure(house(engine, other, backend={"api_key_env": "ENGINE_KEY"}))
    app = turn_to(visit(running.admin_key), "operations")
    assert engine.url in shown(app)
    for secret in ("engine-key-0123456789", running.admin_key):
        assert secret not in shown(app)
    leave(app)


def test_a_gateway_that_is_down_is_said_and_the_page_comes_back(
    tmp_path: Path, engine: VLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Gateway(tmp_path, house(engine))
    with own:
        monkeypatch.setenv("PRAXIS_GATEWAY_URL", own.url)
        app = turn_to(visit(own.admin_key), "operations")
        assert engine.url in shown(app)
    app.run()
    assert "网关暂时无法连接" in shown(app)
    assert engine.url not in shown(app)
    with own:
        eventually(lambda: engine.url in shown(app.run()), "the page is back")
        assert "网关暂时无法连接" not in shown(app)
    leave(app)


def test_the_page_speaks_english(admin: AppTest) -> None:
    press(admin, "English")
    page = shown(admin)
    for text in ("Replicas in use", "Ready", "As of"):
        assert text in page
