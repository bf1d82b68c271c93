"""Two answers are judged, blind or not, and the verdicts are counted and taken along."""

import csv
import io

from streamlit.testing.v1 import AppTest

from praxis.i18n import Locale
from tests.fakes import gateway as fake
from tests.fakes.gateway import FakeGateway, citation
from tests.processes import eventually
from tests.ui.script import ASSISTANT, KEY, RAW, ask, conversation, leave, link, press, shown, visit
from ui.client import Gateway
from ui.conversation import Choice, Conversation, Side
from ui.spreadsheet import csv_file
from ui.views.results import standings_csv, table, votes_csv
from ui.votes import Votes

CHOICES = {Side.GROUNDED: Choice(ASSISTANT), Side.RAW: Choice(RAW)}
ZH = Locale()


def given(gateway: FakeGateway) -> Votes:
    return Votes(Gateway(gateway.url, KEY))


def test_a_verdict_is_kept_with_its_reasons_and_comes_back(signed_in: AppTest, gateway: FakeGateway) -> None:
    ask(signed_in, "加班费怎么算？")
    press(signed_in, "A 更好")
    (turn,) = conversation(signed_in).turns
    assert turn.vote
    assert (turn.vote.verdict, turn.vote.a.side, turn.vote.a.model) == ("a", "grounded", ASSISTANT)
    next(box for box in signed_in.text_input if box.label == "说明").set_value("=引用了条文")
    signed_in.get("button_group")[0].set_value(["incomplete"])
    press(signed_in, "保存")
    press(signed_in, "不相上下")
    (vote,) = given(gateway).all()
    assert (vote.verdict, vote.tags, vote.comment, vote.blind) == (
        "tie",
        ("incomplete",),
        "=引用了条文",
        False,
    )
    again = visit(KEY, c=link(signed_in))
    (turn,) = conversation(again).turns
    assert turn.vote == vote
    leave(again)
    rows = list(csv.reader(io.StringIO(votes_csv([vote], ZH).decode("utf-8-sig"))))
    assert rows[1][1:] == [
        "加班费怎么算？",
        f"有依据的回答 · {ASSISTANT}",
        f"模型直接回答 · {RAW}",
        "不相上下",
        "不完整",
        "'=引用了条文",
        "否",
    ]


def test_reasons_that_are_not_saved_yet_go_along_into_the_other_language(
    signed_in: AppTest, gateway: FakeGateway
) -> None:
    ask(signed_in, "加班费怎么算？")
    press(signed_in, "A 更好")
    signed_in.get("button_group")[0].set_value(["unsafe"]).run()
    next(box for box in signed_in.text_input if box.label == "说明").set_value("没有写明时效").run()
    press(signed_in, "English")
    comment = next(box for box in signed_in.text_input if box.label == "Comment")
    assert (signed_in.get("button_group")[0].value, comment.value) == (["unsafe"], "没有写明时效")
    press(signed_in, "中文")
    assert given(gateway).all()[0].tags == ()
    press(signed_in, "保存")
    (vote,) = given(gateway).all()
    assert (vote.tags, vote.comment) == (("unsafe",), "没有写明时效")
    (turn,) = conversation(signed_in).turns
    assert turn.unsaved is None


def test_a_blind_turn_hides_whose_answers_they_are_until_the_verdict(
    signed_in: AppTest, gateway: FakeGateway
) -> None:
    gateway.replies[ASSISTANT] = fake.Reply(["应当支付[1]。"], thinking=["查条文"], citations=[citation()])
    signed_in.toggle[0].set_value(True).run()
    ask(signed_in, "加班费怎么算？")
    page = shown(signed_in)
    assert "回答 A" in page
    assert "应当支付" in page
    for secret in (f"· {ASSISTANT}", "[1]", "引用出处", "首字", "《中华人民共和国劳动法》"):
        assert secret not in page, secret
    assert not signed_in.expander
    (turn,) = conversation(signed_in).turns
    opened = link(signed_in)
    eventually(lambda: turn.kept, "it is kept")
    again = visit(KEY, c=opened)
    assert conversation(again).turns[0].order == turn.order
    assert "引用出处" not in shown(again)
    leave(again)
    press(signed_in, "B 更好")
    assert "引用出处（1）" in shown(signed_in)
    (vote,) = given(gateway).all()
    assert vote.blind
    assert [vote.a.side, vote.b.side] == list(turn.order)
    press(signed_in, "A 更好")
    (vote,) = given(gateway).all()
    assert not vote.blind


def test_the_order_of_blind_turns_is_drawn_by_chance(gateway: FakeGateway) -> None:
    asked, client = Conversation(), Gateway(gateway.url, KEY)
    for _ in range(24):
        asked.ask(client, "问？", CHOICES, blind=True)
    orders = {turn.order for turn in asked.turns}
    assert orders == {(Side.GROUNDED, Side.RAW), (Side.RAW, Side.GROUNDED)}
    eventually(lambda: not asked.running, "nobody asks the next test's gateway")


def test_the_results_show_every_contender_with_its_interval(signed_in: AppTest, gateway: FakeGateway) -> None:
    ask(signed_in, "加班费怎么算？")
    press(signed_in, "A 更好")
    standings = given(gateway).standings()
    best = standings[0]
    assert (best.contender.model, best.wins, best.rate) == (ASSISTANT, 1, 1.0)
    assert 0.2 < best.low < 0.21
    shown_table = table(standings, ZH)
    assert "100 %" in shown_table
    assert "21–100 %" in shown_table
    rows = list(csv.reader(io.StringIO(standings_csv(standings, ZH).decode("utf-8-sig"))))
    assert rows[1][:6] == [ASSISTANT, "有依据的回答", "1", "1", "0", "0"]


def test_no_cell_is_taken_for_a_formula() -> None:
    text = csv_file(["a", "b"], [["=1+1", -1], ["@x", "三\n行"]]).decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["a", "b"], ["'=1+1", "-1"], ["'@x", "三\n行"]]
