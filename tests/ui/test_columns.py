"""A third column beside the two, and the settings by which all of them are asked."""

import csv
import io

from streamlit.testing.v1 import AppTest

from praxis.i18n import Locale
from tests.fakes import gateway as fake
from tests.fakes.gateway import FakeGateway, citation
from tests.processes import eventually
from tests.ui.script import ASSISTANT, KEY, RAW, ask, conversation, leave, link, press, shown, visit
from ui.client import Gateway
from ui.conversation import Side
from ui.export.report import report_of
from ui.session import Session
from ui.settings import DEFAULT, Settings
from ui.views.results import votes_csv
from ui.votes import Votes

TUNED = "medical"
SET = Settings(0.2, 0.9, 256, False, "请简明回答。")
ZH = Locale()


def with_third(app: AppTest) -> AppTest:
    return next(each for each in app.toggle if each.label == "第三栏").set_value(True).run()


def choose_other(app: AppTest, model: str) -> AppTest:
    box = next(box for box in app.selectbox if box.label == "另一个模型")
    return box.select(model).run()


def session(app: AppTest) -> Session:
    held: Session = app.session_state["session"]
    return held


def test_three_columns_stream_at_once_and_remember_their_own(
    signed_in: AppTest, gateway: FakeGateway
) -> None:
    everybody = [ASSISTANT, RAW, TUNED]
    for model in everybody:
        gateway.replies[model] = fake.Reply([f"{model} 说。"], meet=everybody)
    ask(ask(with_third(signed_in), "一？"), "二？")
    _, second = conversation(signed_in).turns
    assert second.order == tuple(Side)
    assert [second.choices[side].model for side in second.order] == everybody
    for chat in gateway.chats[-3:]:
        assert [said["content"] for said in chat.body["messages"]] == ["一？", f"{chat.model} 说。", "二？"]
    assert f"C · 另一个模型 · {TUNED}" in shown(signed_in)


def test_a_column_that_fails_leaves_the_other_two(signed_in: AppTest, gateway: FakeGateway) -> None:
    error = {"message": "No replica is up.", "type": "overloaded_error", "param": None, "code": None}
    gateway.replies[TUNED] = fake.Reply(status=503, error=error)
    ask(with_third(signed_in), "问？")
    assert len(signed_in.error) == 1
    turn = conversation(signed_in).turns[0]
    assert turn.answered == (Side.GROUNDED, Side.RAW)
    assert [button.label for button in signed_in.button if "更好" in button.label] == ["A 更好", "B 更好"]


def test_an_assistant_in_the_third_column_shows_its_sources(signed_in: AppTest, gateway: FakeGateway) -> None:
    gateway.replies[ASSISTANT] = fake.Reply(["应当支付[1]。"], citations=[citation()])
    ask(choose_other(with_third(signed_in), ASSISTANT), "问？")
    assert shown(signed_in).count("引用出处（1）") == 2
    gateway.replies[ASSISTANT] = fake.Reply(["也许。"])
    press(signed_in, "再问一次")
    assert sum("没有支持以上内容的依据" in each.value for each in signed_in.warning) == 2


def test_three_columns_come_back_with_their_settings(signed_in: AppTest, gateway: FakeGateway) -> None:
    session(signed_in).settings = SET
    ask(choose_other(with_third(signed_in), ASSISTANT), "问？")
    (turn,) = conversation(signed_in).turns
    eventually(lambda: turn.kept and not session(signed_in).keeper._working, "all is kept")
    again = visit(KEY, c=link(signed_in))
    (after,) = conversation(again).turns
    assert (after.order, after.choices, after.settings) == (turn.order, turn.choices, SET)
    assert after.replies[Side.OTHER].grounded
    assert (session(again).third, session(again).other, session(again).settings) == (True, ASSISTANT, SET)
    assert any(box.label == "另一个模型" for box in again.selectbox)
    leave(again)


def test_a_verdict_is_about_two_of_three(signed_in: AppTest, gateway: FakeGateway) -> None:
    gateway.replies[TUNED] = fake.Reply(["微调说。"])
    ask(with_third(signed_in), "问？")
    signed_in.segmented_control[0].set_value(1).run()
    press(signed_in, "C 更好")
    (turn,) = conversation(signed_in).turns
    assert turn.judged == (Side.GROUNDED, Side.OTHER)
    (vote,) = Votes(Gateway(gateway.url, KEY)).all()
    assert (vote.verdict, vote.a.model, vote.b.model, vote.b.side) == ("b", ASSISTANT, TUNED, "other")
    assert report_of(conversation(signed_in).turns, ZH).entries[0].verdict == "评价：A 与 C · C 更好"
    row = list(csv.reader(io.StringIO(votes_csv([vote], ZH).decode("utf-8-sig"))))[1]
    assert row[3:5] == [f"另一个模型 · {TUNED}", "B 更好"]
    signed_in.segmented_control[0].set_value(2).run()
    press(signed_in, "不相上下")
    (vote,) = Votes(Gateway(gateway.url, KEY)).all()
    assert (vote.verdict, vote.a.side, vote.b.side) == ("tie", "raw", "other")


def test_a_blind_turn_of_three_hides_all_of_them(signed_in: AppTest, gateway: FakeGateway) -> None:
    next(each for each in signed_in.toggle if each.label == "盲评").set_value(True).run()
    ask(with_third(signed_in), "问？")
    page = shown(signed_in)
    assert "回答 C" in page
    for model in (ASSISTANT, RAW, TUNED):
        assert f"· {model}" not in page
    press(signed_in, "A 更好")
    (vote,) = Votes(Gateway(gateway.url, KEY)).all()
    assert vote.blind
    signed_in.segmented_control[0].set_value(1).run()
    press(signed_in, "A 更好")
    (vote,) = Votes(Gateway(gateway.url, KEY)).all()
    assert not vote.blind


def test_what_is_not_set_is_not_sent(signed_in: AppTest, gateway: FakeGateway) -> None:
    ask(signed_in, "一？")
    assert all(
        chat.body.keys() == {"model", "messages", "stream", "stream_options"} for chat in gateway.chats
    )
    session(signed_in).settings = SET
    ask(signed_in, "二？")
    for chat in gateway.chats[-2:]:
        sent = {
            name: chat.body[name] for name in ("temperature", "top_p", "max_tokens", "chat_template_kwargs")
        }
        assert sent == {
            "temperature": 0.2,
            "top_p": 0.9,
            "max_tokens": 256,
            "chat_template_kwargs": {"enable_thinking": False, "thinking": False},
        }
        assert chat.body["messages"][0] == {"role": "system", "content": "请简明回答。"}
        assert [said["role"] for said in chat.body["messages"]] == ["system", "user", "assistant", "user"]


def test_zero_is_a_setting() -> None:
    assert Settings(temperature=0.0).fields() == {"temperature": 0.0}
    assert Settings.of(Settings(temperature=0.0).kept()) == Settings(temperature=0.0)
    assert DEFAULT.kept() == {}


def test_an_export_says_how_it_was_asked(signed_in: AppTest) -> None:
    session(signed_in).settings = SET
    ask(with_third(signed_in), "问？")
    answers = report_of(conversation(signed_in).turns, ZH).entries[0].answers
    assert len(answers) == 3
    for said in ("温度 0.2", "Top P 0.9", "最多词元 256", "思考 关闭", "系统提示: 请简明回答。"):
        assert all(said in answer.settings for answer in answers), said
