"""A batch and its comparison are kept at the gateway row by row, and come back by their URL."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any, TypeVar

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from praxis.i18n import Locale
from praxis.judging.pair import Judge
from praxis.judging.rubric import OVERALL, read
from tests.fakes import gateway as fake
from tests.fakes.gateway import FakeGateway, citation
from tests.processes import eventually
from tests.ui.script import ASSISTANT, KEY, OTHER, RAW, SECONDS, press, shown
from tests.ui.test_batch import CHOICES, DOWN, draw, session, table, upload
from tests.ui.test_comparison import ALONE, GROUNDED, JUDGE, SIDES, referee
from ui.batch import Batch
from ui.batch_keeper import BatchKeeper
from ui.client import Gateway, GatewayError
from ui.comparison import Comparison
from ui.conversation import Choice, Side
from ui.history import History
from ui.memo import memo_of
from ui.session import BATCH_LINK
from ui.settings import DEFAULT, Settings

W = TypeVar("W", Batch, Comparison)


class Counting(Gateway):
    """A client that counts what it sends."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sent: Counter[str] = Counter()

    def call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        self.sent[method] += 1
        return super().call(method, path, **options)


@pytest.fixture
def client(gateway: FakeGateway) -> Iterator[Counting]:
    with closing(Counting(gateway.url, KEY)) as client:
        yield client


def answered(
    client: Gateway, count: int, choices: dict[Side, Choice] = CHOICES, settings: Settings = DEFAULT
) -> Batch:
    batch = Batch.of("问题.csv", [f"第{number}问？" for number in range(1, count + 1)], choices, settings)
    return done(batch, client)


def done(work: W, client: Gateway) -> W:
    work.start(client, lambda: True)
    eventually(lambda: not work.running, "all is done")
    return work


def kept(client: Gateway, batch: Batch) -> BatchKeeper:
    keeper = BatchKeeper(batch)
    keeper.save(History(client))
    return keeper


def reopened(client: Gateway, batch: Batch) -> BatchKeeper:
    assert batch.id
    return BatchKeeper.reopened(History(client), batch.id)


def said(batch: Batch) -> list[list[Any]]:
    return [
        [
            turn.question,
            *(
                (side, each.phase, each.text, each.citations, each.usage)
                for side, each in turn.replies.items()
            ),
        ]
        for turn in batch.turns
    ]


def test_a_batch_comes_back_as_it_was(gateway: FakeGateway, client: Counting) -> None:
    gateway.replies[ASSISTANT] = fake.Reply(["应当支付[1]。"], citations=[citation()])
    choices = {**CHOICES, Side.OTHER: Choice("medical", ("vs_1",), own_documents=True)}
    batch = answered(client, 3, choices, Settings(temperature=0.0, system="只用中文。"))
    kept(client, batch)
    again = reopened(client, batch).batch
    assert (again.id, again.name, again.settings, again.choices) == (
        batch.id,
        batch.name,
        batch.settings,
        batch.choices,
    )
    assert said(again) == said(batch)
    assert (again.done, again.left, again.running) == (3, [], False)


def test_each_answer_is_sent_once_and_many_in_one_request(client: Counting) -> None:
    batch = answered(client, 60)
    client.sent.clear()
    keeper = kept(client, batch)
    # One that begins it, three of twenty questions each, six of twenty answers each.
    assert client.sent["POST"] == 1 + 3 + 6
    client.sent.clear()
    keeper.save(History(client))
    again = reopened(client, batch)
    client.sent.clear()
    again.save(History(client))
    assert not client.sent


def test_what_was_not_answered_is_asked_on_elsewhere(gateway: FakeGateway, client: Counting) -> None:
    def some(body: dict[str, Any]) -> fake.Reply:
        if "第2问" in body["messages"][-1]["content"]:
            return fake.Reply(status=502, error=DOWN)
        return fake.Reply(["看情况。"])

    gateway.replies[RAW] = some
    batch = answered(client, 3)
    batch.turns[2].replies = {}  # as if it had not been reached
    kept(client, batch)
    again = reopened(client, batch)
    assert [turn.question for turn in again.batch.left] == ["第2问？", "第3问？"]
    lost = again.batch.turns[1].replies[Side.RAW]
    assert lost.error
    assert (lost.error.kind, lost.error.detail) == ("upstream_error", DOWN["message"])
    del gateway.replies[RAW]
    gateway.chats.clear()
    done(again.batch, client)
    assert len(gateway.chats) == 3, "what was answered is not asked again"
    before = len(History(client).items(batch.id or ""))
    again.save(History(client))
    assert len(History(client).items(batch.id or "")) == before + 2, "the failure gives way to the answer"
    assert reopened(client, batch).batch.left == []


def test_a_comparison_comes_back_and_another_takes_its_place(gateway: FakeGateway, client: Counting) -> None:
    gateway.replies[ASSISTANT] = fake.Reply([f"{GROUNDED}[1]。"], citations=[citation()])
    gateway.replies[RAW] = fake.Reply([f"{ALONE}。"])
    batch = answered(client, 4)
    gateway.replies[JUDGE] = referee({OVERALL: GROUNDED, "证据链": ALONE}, silent="第2问")
    keeper = kept(client, batch)
    keeper.comparison = done(Comparison(Judge(JUDGE, read("legal")), SIDES, batch), client)
    keeper.save(History(client))
    again = reopened(client, batch)
    assert again.comparison
    for code in ("zh-CN", "en"):
        assert memo_of(again.comparison, Locale(code)) == memo_of(keeper.comparison, Locale(code))
    assert again.comparison.left == [2]

    held = len(History(client).items(batch.id or ""))
    gateway.replies[RAW] = referee({OVERALL: ALONE})
    again.comparison = done(
        Comparison(Judge(RAW, read("medical"), language="en"), SIDES, again.batch), client
    )
    again.save(History(client))
    third = reopened(client, batch)
    assert third.comparison
    assert memo_of(third.comparison, Locale()) == memo_of(again.comparison, Locale())
    assert third.comparison.judge == again.comparison.judge
    assert len(History(client).items(batch.id or "")) == held


def test_a_conversation_is_no_batch(client: Counting) -> None:
    conversation = History(client).begin("加班费", first=[{"role": "user", "content": "怎么算？"}])
    with pytest.raises(GatewayError) as refused:
        BatchKeeper.reopened(History(client), conversation)
    assert refused.value.status == 404


def test_a_batch_that_is_deleted_is_asked_no_further(gateway: FakeGateway, client: Counting) -> None:
    hold, never = threading.Event(), threading.Event()

    def slow(body: dict[str, Any]) -> fake.Reply:
        number = int(body["messages"][-1]["content"].strip("第问？"))
        return fake.Reply(["看情况。"], stall=hold if number <= 4 else never)

    gateway.replies[RAW] = slow
    batch = Batch.of("问题.csv", [f"第{number}问？" for number in range(1, 21)], CHOICES, Settings())
    keeper = BatchKeeper(batch)
    batch.start(client, lambda: True)
    keeper.keep(client, within=20)
    eventually(lambda: all(turn.item for turn in batch.turns), "the questions are kept")
    History(client).delete(batch.id or "")
    hold.set()
    eventually(lambda: not batch.running, "it is stopped")
    eventually(lambda: not keeper.working, "nothing more is saved")
    assert History(client).entries() == []


# The page


def visit(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, key: str = KEY, batch: str = "") -> AppTest:
    monkeypatch.setenv("PRAXIS_GATEWAY_URL", gateway.url)
    app = AppTest.from_function(draw, default_timeout=SECONDS, args=(key,))
    if batch:
        app.query_params[BATCH_LINK] = batch
    app.run()
    assert not app.exception
    return app


@pytest.fixture
def page(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    app = visit(gateway, monkeypatch)
    yield app
    session(app).sign_out()


def link(app: AppTest) -> str:
    named = app.run().query_params[BATCH_LINK]
    return named if isinstance(named, str) else named[0]


def test_a_reload_goes_on_with_what_runs(
    page: AppTest, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = threading.Event()
    gateway.replies[RAW] = fake.Reply(["前半", "后半"], stall=hold)
    press(upload(page, table(2)), "开始提问（2 个问题 × 2 栏）")
    again = visit(gateway, monkeypatch, batch=link(page))
    assert session(again).batch is session(page).batch
    assert "已提问 0 / 2" in shown(again)
    # Another key of anybody's does not find it here.
    stranger = visit(gateway, monkeypatch, OTHER, link(page))
    assert "这批问题不存在或已被删除。" in shown(stranger)
    assert BATCH_LINK not in stranger.query_params
    hold.set()
    batch = session(again).batch
    assert batch
    eventually(lambda: not batch.running, "it ends")
    assert "前半后半" in shown(again.run())
    for app in (again, stranger):
        session(app).sign_out()


def test_a_batch_is_opened_on_another_machine_and_gone_on_with(
    page: AppTest, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.replies[RAW] = fake.Reply(status=502, error=DOWN)
    press(upload(page, table(2)), "开始提问（2 个问题 × 2 栏）")
    keeper = session(page).batch_keeper
    assert keeper
    eventually(lambda: not keeper.working, "all is kept")
    st.cache_resource.clear()
    again = visit(gateway, monkeypatch, batch=link(page))
    assert session(again).batch is not session(page).batch
    assert [each.value for each in again.subheader] == ["问题.csv"]
    for text in ("第1问？", "好的。", "No replica is up.", "已提问 2 / 2"):
        assert text in shown(again), text
    del gateway.replies[RAW]
    press(again, "继续未完成的 2 个问题")
    batch = session(again).batch
    assert batch
    eventually(lambda: not batch.running, "it ends")
    assert "未完成" not in shown(again.run()).replace("仅看未完成", "")
    session(again).sign_out()


def test_what_was_compared_is_there_after_a_reload(
    page: AppTest, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.replies[ASSISTANT] = fake.Reply([f"{GROUNDED}。"])
    gateway.replies[RAW] = fake.Reply([f"{ALONE}。"])
    gateway.replies[JUDGE] = referee({OVERALL: GROUNDED})
    press(upload(page, table(3)), "开始提问（3 个问题 × 2 栏）")
    keeper = session(page).batch_keeper
    assert keeper
    eventually(lambda: not keeper.running, "all is answered")
    page.run()
    page.segmented_control[0].set_value("memo").run()
    press(page, "逐项比较（3 个问题）")
    eventually(lambda: not keeper.working, "all is kept")
    st.cache_resource.clear()
    again = visit(gateway, monkeypatch, batch=link(page))
    again.segmented_control[0].set_value("memo").run()
    assert "比较备忘录：A 与 B" in shown(again)
    assert "已评 3 / 3" in shown(again)
    session(again).sign_out()


def test_another_file_leaves_the_first_one_running(page: AppTest, gateway: FakeGateway) -> None:
    hold = threading.Event()
    gateway.replies[RAW] = fake.Reply(["看情况。"], stall=hold)
    press(upload(page, table(1)), "开始提问（1 个问题 × 2 栏）")
    first = session(page).batch
    assert first
    press(page, "另选文件")
    assert BATCH_LINK not in page.query_params
    assert first.running
    hold.set()
    eventually(lambda: not first.running, "it ends")
    assert first.left == []


def test_signing_out_stops_what_runs(page: AppTest, gateway: FakeGateway) -> None:
    gateway.replies[RAW] = fake.Reply(["前半"], stall=threading.Event())
    press(upload(page, table(1)), "开始提问（1 个问题 × 2 栏）")
    batch = session(page).batch
    assert batch
    session(page).sign_out()
    eventually(lambda: not batch.running, "it is stopped")
