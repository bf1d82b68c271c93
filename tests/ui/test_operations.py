"""The operations page on a running gateway: what an admin sees and changes there, and nobody else."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import TextInput

from tests.fakes.vllm import VLLM
from tests.gateway.asking import ask, house
from tests.gateway.test_adapters import peft
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


# Adapters


def operate(running: Gateway, method: str, path: str = "", **body: Any) -> Any:
    """What the admin API answers to an operator below `/admin/v1/adapters`."""
    given = {"json": body} if body else {}
    reply = running.request(method, f"/admin/v1/adapters{path}", key=running.admin_key, **given)
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.fixture
def revisions(running: Gateway) -> Iterator[tuple[str, str]]:
    """The adapter `medical` with a revision that answers and one that is staged; the codes of both."""
    for rank, name in ((8, "a"), (4, "b")):
        peft(running.folder / "adapters" / name, rank)
    loaded = {"name": "medical", "base": "law"}
    first = operate(running, "POST", **loaded, source="adapters/a")["loaded"]
    second = operate(running, "POST", **loaded, source="adapters/b", stage=True)["loaded"]
    yield first, second
    for each in operate(running, "GET")["data"]:
        operate(running, "DELETE", f"/{each['name']}")
    shutil.rmtree(running.folder / "adapters")


@pytest.fixture
def tuning(revisions: tuple[str, str], admin: AppTest) -> AppTest:
    """The part of the page that shows adapters."""
    return part(admin, "adapters")


def part(app: AppTest, name: str) -> AppTest:
    """Go to a part of the page."""
    app.get("button_group")[0].set_value(name).run()
    assert not app.exception
    return app


def press_key(app: AppTest, key: str, opener: str = "") -> AppTest:
    """Press the button of that key. A run without a browser draws the whole page, on which a question stays open only as
    long as its `opener` is held."""
    if opener:
        app.button(key=opener).click()
    app.button(key=key).click().run()
    assert not app.exception
    return app


def change(app: AppTest, opener: str, why: str = "", share: int = 0) -> AppTest:
    """Press the button with the key `opener`, fill in what it asks, and confirm."""
    press_key(app, opener)
    if why:
        field(app, "原因").set_value(why)
    if share:
        app.slider[0].set_value(share)
    return press_key(app, "confirm-delete", opener)


def field(app: AppTest, label: str) -> TextInput:
    """The line of that label."""
    return next(box for box in app.text_input if box.label == label)


def test_an_adapter_is_shown_with_what_it_did_and_where_it_is(
    tuning: AppTest, running: Gateway, revisions: tuple[str, str], other: VLLM
) -> None:
    first, second = revisions
    metrics = {"rouge-l": {"mean": 62.1}, "chrf": {"mean": 50.0}}
    score = {"dataset": "laws", "rows": 4, "answered": 4, "metrics": metrics}
    operate(running, "POST", f"/medical/revisions/{second}/scores", **score)
    assert ask(running, model="medical").status == 200
    eventually(
        lambda: operate(running, "GET", "/medical")["revisions"][0]["requests"] == 1, "the request is counted"
    )
    page = shown(tuning.run())
    for text in ("medical", "基于 law", first, second, "当前", "待发布", "2 / 2", "100 %", "62.10", "laws"):
        assert text in page
    other.refuse()
    eventually(lambda: running.metric("praxis_replica_up") == 1, "the lost replica is noticed")
    assert f"未加载于 {other.url.removeprefix('http://')}" in shown(tuning.run())


def test_a_canary_is_started_resized_and_rolled_back_with_its_reasons(
    tuning: AppTest, running: Gateway, revisions: tuple[str, str]
) -> None:
    first, second = revisions
    change(tuning, f"canary-medical-{second}", share=25)
    assert operate(running, "GET", "/medical")["canary"] == {
        "revision": second,
        "share": 0.25,
        "by": "request",
    }
    assert "灰度" in shown(tuning)
    assert "25 %" in shown(tuning)
    change(tuning, f"canary-medical-{second}", why="看起来不错", share=50)
    assert operate(running, "GET", "/medical")["canary"]["share"] == 0.5
    change(tuning, "rollback-medical", why="错误增多")
    told = operate(running, "GET", "/medical")
    assert (told["revision"], told["canary"]) == (first, None)
    kept = operate(running, "GET", "/medical/history")["data"][-3:]
    assert [(each["action"], each["why"], each["who"]) for each in kept] == [
        ("canary", "", "test-admin"),
        ("canary", "看起来不错", "test-admin"),
        ("rollback", "错误增多", "test-admin"),
    ]
    page = shown(press_key(tuning, "history-medical"))
    for text in ("回滚", "错误增多", "看起来不错", "test-admin", "50 %"):
        assert text in page


def test_a_revision_is_promoted_taken_back_and_unloaded(
    tuning: AppTest, running: Gateway, revisions: tuple[str, str], engine: VLLM
) -> None:
    first, second = revisions
    change(tuning, f"promote-medical-{second}", why="更好")
    assert operate(running, "GET", "/medical")["revision"] == second
    change(tuning, "rollback-medical")
    assert operate(running, "GET", "/medical")["revision"] == first
    change(tuning, f"unload-medical-{second}")
    assert [each["revision"] for each in operate(running, "GET", "/medical")["revisions"]] == [first]
    assert set(engine.loaded) == {f"medical@{first}"}
    change(tuning, "unload-medical", why="不再需要")
    assert operate(running, "GET")["data"] == []
    assert operate(running, "GET", "/medical/history")["data"][-1]["why"] == "不再需要"
    assert "还没有加载适配器" in shown(tuning)


def test_what_the_gateway_refuses_is_one_sentence_and_changes_nothing(
    tuning: AppTest, running: Gateway, revisions: tuple[str, str]
) -> None:
    first, _ = revisions
    change(tuning, "rollback-medical")
    (refused,) = tuning.error
    assert refused.value == (
        f'与当前状态冲突，没有作任何更改。 "medical" has answered with nothing before {first}; '
        "promote another of its revisions."
    )
    assert operate(running, "GET", "/medical")["revision"] == first


def test_nothing_is_changed_before_it_is_confirmed(
    tuning: AppTest, running: Gateway, revisions: tuple[str, str]
) -> None:
    _, second = revisions
    before = operate(running, "GET", "/medical")
    press_key(tuning, f"promote-medical-{second}")
    assert any(f"改由版本 {second} 回答" in each.value for each in tuning.markdown)
    press_key(tuning, "cancel-delete", f"promote-medical-{second}")
    assert operate(running, "GET", "/medical") == before


# Keys and usage


@pytest.fixture
def keyring(admin: AppTest) -> AppTest:
    """The part of the page that shows keys."""
    return part(admin, "keys")


def keys(running: Gateway) -> dict[str, dict[str, Any]]:
    """The keys by name, as the admin API tells of them."""
    listed = running.get("/admin/v1/keys", key=running.admin_key).json()["data"]
    return {each["name"]: each for each in listed}


def test_keys_are_shown_with_what_they_used(keyring: AppTest, running: Gateway) -> None:
    before = requests(running)
    assert ask(running).status == 200
    eventually(lambda: requests(running) > before, "it is counted")
    page = shown(keyring.run())
    for text in ("test-user", "test-admin", "管理员", "全部模型", "不过期", "law"):
        assert text in page
    for secret in (running.user_key, running.admin_key):
        assert secret not in page
    used = running.get("/admin/v1/usage?by=key", key=running.admin_key).json()["data"][0]
    assert f"{used['total_tokens']:,}" in page


def requests(running: Gateway) -> int:
    """How many requests were counted until now."""
    rows = running.get("/admin/v1/usage?by=", key=running.admin_key).json()["data"]
    return sum(each["requests"] for each in rows)


def test_usage_of_another_period_is_another(keyring: AppTest, running: Gateway) -> None:
    before = requests(running)
    assert ask(running).status == 200
    eventually(lambda: requests(running) > before, "it is counted")
    assert "按密钥和模型的用量" in [each.value for each in keyring.run().subheader]
    keyring.selectbox[0].select("last_month").run()
    assert not keyring.exception
    assert not keyring.subheader


def test_a_key_is_made_shown_once_and_works_until_it_is_revoked(keyring: AppTest, running: Gateway) -> None:
    press_key(keyring, "create-key")
    field(keyring, "名称").set_value("前台")
    keyring.multiselect[0].set_value(["law"])
    next(box for box in keyring.selectbox if box.label == "到期").select("month")
    keyring.number_input[0].set_value(30)
    press_key(keyring, "make-key", "create-key")
    (secret,) = [each.value for each in keyring.code]
    assert secret.startswith("sk-praxis-")
    assert running.get("/v1/models", key=secret).status_code == 200
    made = keys(running)["前台"]
    assert (made["role"], made["models"], made["rpm"], made["tpm"]) == ("user", ["law"], 30, None)
    assert 29 * 86_400 < made["expires_at"] - time.time() < 31 * 86_400
    keyring.run()
    assert not keyring.code
    assert secret not in shown(keyring)
    assert secret not in str(keyring.session_state)
    assert "每分钟 30 次请求" in shown(keyring)
    opener = f"revoke-{made['id']}"
    press_key(keyring, opener)
    assert keys(running)["前台"]["revoked_at"] is None
    press_key(keyring, "confirm-delete", opener)
    assert keys(running)["前台"]["revoked_at"] is not None
    assert running.get("/v1/models", key=secret).status_code == 401
    assert "前台" not in shown(keyring)
    keyring.toggle[0].set_value(True).run()
    assert "已吊销" in shown(keyring)


def test_a_key_without_a_name_or_with_one_that_is_taken_is_refused(
    keyring: AppTest, running: Gateway
) -> None:
    for name, sentence in (("", "请输入密钥名称。"), ("test-user", "与当前状态冲突")):
        press_key(keyring, "create-key")
        field(keyring, "名称").set_value(name)
        press_key(keyring, "make-key", "create-key")
        (refused,) = keyring.error
        assert refused.value.startswith(sentence)
        assert not keyring.code
        keyring.run()


def test_a_key_gets_another_secret_that_is_shown_once(keyring: AppTest, running: Gateway) -> None:
    body = {"name": "夜班", "rpm": 1}
    made = running.request("POST", "/admin/v1/keys", key=running.admin_key, json=body).json()
    opener = f"rotate-{made['id']}"
    press_key(keyring.run(), opener)
    assert "夜班" in "".join(each.value for each in keyring.markdown)
    assert running.get("/v1/models", key=made["secret"]).status_code == 200
    next(each for each in keyring.radio if each.label == "旧密钥").set_value("none")
    press_key(keyring, "confirm-rotation", opener)
    (secret,) = [each.value for each in keyring.code]
    assert secret.startswith("sk-praxis-")
    assert secret != made["secret"]
    assert running.get("/v1/models", key=secret).status_code == 200
    assert running.get("/v1/models", key=made["secret"]).status_code == 401
    keyring.run()
    assert not keyring.code
    assert secret not in str(keyring.session_state)
    assert keys(running)["夜班"]["id"] == made["id"]


def test_of_a_rotated_key_the_old_secret_may_work_a_while(keyring: AppTest, running: Gateway) -> None:
    made = running.request("POST", "/admin/v1/keys", key=running.admin_key, json={"name": "白班"}).json()
    opener = f"rotate-{made['id']}"
    press_key(keyring.run(), opener)
    press_key(keyring, "confirm-rotation", opener)
    assert running.get("/v1/models", key=made["secret"]).status_code == 200
    left = keys(running)["白班"]["old_secret_until"] - time.time()
    assert 3000 < left <= 3600
    press_key(keyring.run(), f"revoke-{made['id']}")
    press_key(keyring, "confirm-delete", f"revoke-{made['id']}")
    assert f"rotate-{made['id']}" not in {each.key for each in keyring.button}


# Evaluation


def test_where_nothing_was_measured_the_page_says_how(admin: AppTest) -> None:
    assert "还没有评测记录" in shown(part(admin, "scores"))


def test_what_revisions_reached_is_shown_by_data_set(
    revisions: tuple[str, str], admin: AppTest, running: Gateway
) -> None:
    for revision, mean in zip(revisions, (40.0, 62.5), strict=True):
        figure = {"mean": mean, "low": mean - 2, "high": mean + 2}
        score = {"dataset": "guidelines", "rows": 4, "answered": 3, "metrics": {"rouge-l": figure}}
        operate(running, "POST", f"/medical/revisions/{revision}/scores", **score)
    page = shown(part(admin, "scores"))
    for text in (*revisions, "guidelines", "rouge-l", "3 / 4", "<b>62.50</b>", "60.50–64.50", "test-admin"):
        assert text in page
    assert "<b>40.00</b>" not in page


def test_the_part_stays_when_the_language_changes(admin: AppTest) -> None:
    press(part(admin, "keys"), "English")
    assert "Usage counts whole hours" in shown(admin)
