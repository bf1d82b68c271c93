"""A spreadsheet of questions through the columns: how far, what came, what failed, and all of it taken along."""

import csv
import io
import threading
from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from praxis.i18n import Locale
from tests.fakes import gateway as fake
from tests.fakes.gateway import FakeGateway, citation
from tests.processes import eventually
from tests.ui.script import ASSISTANT, KEY, RAW, SECONDS, choose_documents, press, shown
from ui import background
from ui.batch import Batch, different, failed
from ui.client import Gateway
from ui.conversation import Choice, Side
from ui.export.report import report_of
from ui.export.table import csv_of
from ui.reply import Phase
from ui.session import Session
from ui.settings import DEFAULT, Settings
from ui.views.batch import PAGE

CHOICES = {Side.GROUNDED: Choice(ASSISTANT), Side.RAW: Choice(RAW)}
BUSY = {"message": "Too many requests.", "type": "rate_limit_error", "param": None, "code": None}
DOWN = {"message": "No replica is up.", "type": "upstream_error", "param": None, "code": None}


def table(count: int) -> bytes:
    return ("编号,问题\n" + "".join(f"{n},第{n}问？\n" for n in range(1, count + 1))).encode("gb18030")


def begun(gateway: FakeGateway, count: int, settings: Settings = DEFAULT) -> Batch:
    batch = Batch.of("问题.csv", [f"第{n}问？" for n in range(1, count + 1)], CHOICES, settings)
    batch.start(Gateway(gateway.url, KEY), lambda: True)
    return batch


def ended(batch: Batch) -> None:
    eventually(lambda: not batch.running, "the batch ends")


def session(app: AppTest) -> Session:
    held: Session = app.session_state["session"]
    return held


def test_every_question_is_asked_of_every_column_a_few_at_a_time(gateway: FakeGateway) -> None:
    hold = threading.Event()
    gateway.replies[RAW] = fake.Reply(["看情况。"], stall=hold)
    batch = begun(gateway, 10, Settings(temperature=0.0))
    eventually(lambda: len(gateway.chats) >= 2 * background.AT_ONCE, "the first are asked")
    assert batch.done == 0
    assert len(gateway.chats) == 2 * background.AT_ONCE
    hold.set()
    ended(batch)
    assert (batch.done, len(batch.left), len(gateway.chats)) == (10, 0, 20)
    asked = sorted(chat.body["messages"][0]["content"] for chat in gateway.chats if chat.model == RAW)
    assert asked == sorted(turn.question for turn in batch.turns)
    assert {len(chat.body["messages"]) for chat in gateway.chats} == {1}
    assert {chat.body["temperature"] for chat in gateway.chats} == {0.0}


def test_stopping_keeps_what_came_and_the_rest_is_asked_later(gateway: FakeGateway) -> None:
    hold = threading.Event()
    gateway.replies[RAW] = fake.Reply(["前半", "后半"], stall=hold)
    batch = begun(gateway, 6)
    first = batch.turns[0]
    eventually(
        lambda: first.replies and first.replies[Side.RAW].text and first.replies[Side.GROUNDED].whole,
        "words have come",
    )
    batch.stop()
    ended(batch)
    eventually(lambda: all(chat.cancelled or chat.ended for chat in gateway.chats), "the gateway hears of it")
    assert (first.replies[Side.RAW].phase, first.replies[Side.RAW].text) == (Phase.STOPPED, "前半")
    assert first.replies[Side.GROUNDED].whole
    assert len(batch.left) == 6
    assert batch.turns[-1].replies == {}
    hold.set()
    asked = len(gateway.chats)
    batch.start(Gateway(gateway.url, KEY), lambda: True)
    ended(batch)
    assert batch.left == []
    assert first.replies[Side.RAW].text == "前半后半"
    again = [chat for chat in gateway.chats[asked:] if chat.body["messages"][-1]["content"] == "第1问？"]
    assert [chat.model for chat in again] == [RAW]


def test_a_failed_answer_is_named_and_asked_again(gateway: FakeGateway) -> None:
    gateway.replies[RAW] = fake.Reply(status=502, error=DOWN)
    batch = begun(gateway, 3)
    ended(batch)
    assert [failed(turn) for turn in batch.turns] == [True] * 3
    assert batch.done == 3
    row = list(
        csv.reader(io.StringIO(csv_of(report_of(batch.turns, Locale()), Locale()).decode("utf-8-sig")))
    )
    assert "No replica is up." in row[2][6]
    del gateway.replies[RAW]
    batch.start(Gateway(gateway.url, KEY), lambda: True)
    ended(batch)
    assert not any(map(failed, batch.turns))


def test_a_busy_server_is_asked_again_when_it_says_so(gateway: FakeGateway) -> None:
    gateway.replies[RAW] = fake.Reply(status=429, error=BUSY, headers={"retry-after": "1"})
    batch = begun(gateway, 1)
    eventually(lambda: len([chat for chat in gateway.chats if chat.model == RAW]) >= 2, "it is asked again")
    del gateway.replies[RAW]
    ended(batch)
    assert batch.left == []


def test_a_batch_that_nobody_watches_ends(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.replies[RAW] = fake.Reply(["前半"], stall=threading.Event())
    batch = Batch.of("问题.csv", ["问？"], CHOICES, DEFAULT)
    monkeypatch.setattr(background, "UNWATCHED", 0.5)
    batch.start(Gateway(gateway.url, KEY), lambda: False)
    ended(batch)
    assert batch.turns[0].replies[Side.RAW].phase is Phase.STOPPED


def test_answers_differ_by_their_words_alone(gateway: FakeGateway) -> None:
    gateway.replies[ASSISTANT] = fake.Reply(["应当支付 [1]。"], citations=[citation()])
    gateway.replies[RAW] = fake.Reply(["应当支付！"])
    batch = begun(gateway, 1)
    ended(batch)
    assert not different(batch.turns[0])
    gateway.replies[RAW] = fake.Reply(["不必支付。"])
    other = begun(gateway, 1)
    ended(other)
    assert different(other.turns[0])


def test_the_time_left_is_told_from_the_first_answer_on(gateway: FakeGateway) -> None:
    assert Batch.of("空.csv", ["问？"], CHOICES, DEFAULT).seconds_left is None
    batch = begun(gateway, 2)
    ended(batch)
    assert batch.seconds_left == 0


@pytest.fixture
def page(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    """The batch page of somebody who is signed in."""
    monkeypatch.setenv("PRAXIS_GATEWAY_URL", gateway.url)
    app = AppTest.from_function(draw, default_timeout=SECONDS, args=(KEY,)).run()
    yield app
    session(app).sign_out()


def draw(key: str) -> None:
    from ui.session import Session
    from ui.views import batch

    session = Session.current()
    if session.gateway is None:
        session.sign_in(key)
    batch.show(session)


def upload(app: AppTest, content: bytes, name: str = "问题.csv") -> AppTest:
    app.file_uploader[0].upload(name, content).run()
    assert not app.exception
    return app


def finished(app: AppTest) -> AppTest:
    batch = session(app).batch
    assert batch
    ended(batch)
    return app.run()


def test_a_file_becomes_a_table_of_answers(page: AppTest, gateway: FakeGateway) -> None:
    gateway.replies[ASSISTANT] = fake.Reply(["应当支付[1]。"], citations=[citation()])
    upload(page, table(3))
    assert page.selectbox[-1].value == 1
    assert "共 3 个问题" in shown(page)
    finished(press(page, "开始提问（3 个问题 × 2 栏）"))
    for text in ("第3问？", "应当支付[1]。", "好的。", "已提问 3 / 3"):
        assert text in shown(page), text
    assert "引用出处" not in shown(page)
    next(button for button in page.button if button.label == "展开").click().run()
    assert "引用出处（1）" in shown(page)
    page.segmented_control[1].set_value("failed").run()
    assert "没有符合筛选条件的问题。" in shown(page)
    page.segmented_control[1].set_value("different").run()
    assert "第1问？" in shown(page)
    press(page, "另选文件")
    assert session(page).batch is None


def test_what_failed_is_told_with_its_reason_and_asked_again(page: AppTest, gateway: FakeGateway) -> None:
    gateway.replies[RAW] = fake.Reply(status=502, error=DOWN)
    finished(press(upload(page, table(2)), "开始提问（2 个问题 × 2 栏）"))
    assert "2 个未完成" in shown(page)
    assert "No replica is up." in shown(page)
    del gateway.replies[RAW]
    finished(press(page, "继续未完成的 2 个问题"))
    assert "未完成" not in shown(page).replace("仅看未完成", "")


def test_many_questions_stand_on_several_pages(page: AppTest, gateway: FakeGateway) -> None:
    finished(press(upload(page, table(PAGE + 1)), f"开始提问（{PAGE + 1} 个问题 × 2 栏）"))
    assert f"第{PAGE + 1}问？" not in shown(page)
    page.pagination[0].set_value(2).run()
    assert f"第{PAGE + 1}问？" in shown(page)


def test_a_file_that_is_no_table_and_a_column_that_is_not_known(page: AppTest) -> None:
    upload(page, b"\xd0\xcf\x11\xe0" + bytes(512), "旧.xls")
    assert "另存为 .xlsx 或 CSV" in shown(page)
    upload(page, "甲,乙\n1,第一问？\n".encode(), "表.csv")
    assert not [button for button in page.button if "开始提问" in button.label]
    page.selectbox[-1].set_value(1).run()
    assert "开始提问（1 个问题 × 2 栏）" in [button.label for button in page.button]


def test_a_side_that_cannot_answer_keeps_a_batch_from_beginning(page: AppTest) -> None:
    choose_documents(page)
    upload(page, table(2))
    assert "还没有可检索的文档" in shown(page)
    assert next(button for button in page.button if "开始提问" in button.label).disabled


def test_hostile_words_stay_words(page: AppTest, gateway: FakeGateway) -> None:
    gateway.replies[RAW] = fake.Reply(["<script>alert(1)</script>"])
    finished(
        press(upload(page, "问题\n<img src=x onerror=alert(1)>\n".encode()), "开始提问（1 个问题 × 2 栏）")
    )
    assert "<script>" not in shown(page)
    assert "<img" not in shown(page)
