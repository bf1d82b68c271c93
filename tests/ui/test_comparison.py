"""A model compares two columns of a batch: in both orders, criterion by criterion, stopped and gone on with, told honestly."""

import io
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import docx
import pypdfium2
import pytest
from openpyxl import load_workbook
from streamlit.testing.v1 import AppTest

from praxis.i18n import Locale, codes
from praxis.judging.pair import Judge
from praxis.judging.rubric import OVERALL, SHIPPED, read
from tests.fakes import gateway as fake
from tests.fakes.gateway import FakeGateway, citation
from tests.processes import eventually
from tests.ui.script import ASSISTANT, KEY, RAW, press, shown
from tests.ui.test_batch import DOWN, begun, draw, ended, finished, table, upload
from ui.batch import Batch
from ui.client import Gateway
from ui.comparison import Comparison, comparable
from ui.conversation import Side
from ui.export import fonts
from ui.export.docx import docx_of
from ui.export.markdown import markdown_of
from ui.export.pdf import pdf_of
from ui.export.report import report_of
from ui.export.table import csv_of
from ui.export.workbook import LONGEST, xlsx_of
from ui.memo import memo_of, remarks
from ui.session import Session

ZH, EN = Locale(), Locale("en")
JUDGE = "medical"  # the model of the fake that judges
LEGAL = read("legal")
CRITERIA = [each.name for each in LEGAL.criteria]
SIDES = (Side.GROUNDED, Side.RAW)
GROUNDED, ALONE = "应当支付", "看情况"


def referee(better: Mapping[str, str], silent: str = "") -> Callable[[dict[str, Any]], fake.Reply]:
    """A judge that finds better, on each item, the answer that begins so; on others it is a tie. Where the question
    holds the word `silent`, it gives no verdict."""

    def judge(body: dict[str, Any]) -> fake.Reply:
        asked = body["messages"][-1]["content"]
        if silent and silent in asked.split("<答复A>")[0]:
            return fake.Reply(["都不错，", "说不好。"])
        first = asked.split("<答复A>\n")[1]
        lines = []
        for item in (*CRITERIA, OVERALL):
            word = better.get(item, "")
            letter = ("A" if first.startswith(word) else "B") if word else "C"
            lines.append(f"{item}：[[{letter}]] 答复{letter}写明了依据=2\n")
        return fake.Reply(lines)

    return judge


@pytest.fixture
def answered(gateway: FakeGateway) -> Batch:
    """Six questions that both columns have answered, the grounded one with a marker."""
    gateway.replies[ASSISTANT] = fake.Reply([f"{GROUNDED}[1]。"], citations=[citation()])
    gateway.replies[RAW] = fake.Reply([f"{ALONE}。"])
    batch = begun(gateway, 6)
    ended(batch)
    gateway.chats.clear()
    return batch


def compared(gateway: FakeGateway, batch: Batch, model: str = JUDGE) -> Comparison:
    comparison = Comparison(Judge(model, LEGAL), SIDES, batch)
    comparison.start(Gateway(gateway.url, KEY), lambda: True)
    return comparison


def over(comparison: Comparison) -> Comparison:
    eventually(lambda: not comparison.running, "the comparison ends")
    return comparison


def test_each_question_is_judged_in_both_orders_and_by_criterion(
    gateway: FakeGateway, answered: Batch
) -> None:
    gateway.replies[JUDGE] = referee({OVERALL: GROUNDED, "计算依据": GROUNDED, "服务当事人": ALONE})
    comparison = over(compared(gateway, answered))
    assert (comparison.done, comparison.left, len(gateway.chats)) == (6, [], 12)
    assert {chat.model for chat in gateway.chats} == {JUDGE}
    shown_first = [chat.body["messages"][-1]["content"].split("<答复A>\n")[1][:4] for chat in gateway.chats]
    assert sorted({text[: len(ALONE)] for text in shown_first}) == sorted({GROUNDED[:3], ALONE})
    assert not any("[1]" in chat.body["messages"][-1]["content"] for chat in gateway.chats)
    for chat in gateway.chats:
        assert chat.body["temperature"] == 0
        assert all(each.name in chat.body["messages"][0]["content"] for each in LEGAL.criteria)
    won = {
        item: (tally.wins, tally.ties, tally.losses)
        for item in comparison.items
        if (tally := comparison.tally(item))
    }
    assert (won[OVERALL], won["计算依据"], won["服务当事人"], won["证据链"]) == (
        (6, 0, 0),
        (6, 0, 0),
        (0, 0, 6),
        (0, 6, 0),
    )


def test_a_judge_who_prefers_the_first_place_decides_nothing(gateway: FakeGateway, answered: Batch) -> None:
    gateway.replies[JUDGE] = fake.Reply([f"{OVERALL}：[[A]] 答复A更好"])
    comparison = over(compared(gateway, answered))
    tally = comparison.tally(OVERALL)
    assert (tally.wins, tally.ties, tally.losses, tally.flipped) == (0, 6, 0, 6)
    memo = memo_of(comparison, ZH)
    assert any("6 题两种次序结论不一致" in doubt for doubt in memo.doubts)
    assert memo.examples == ()
    assert [line.told for line in memo.lines] == ["尚难断定", *["没有结论"] * 7]
    assert {line.open for line in memo.lines[1:]} == {6}


def test_what_could_not_be_judged_is_named_and_in_no_share(gateway: FakeGateway, answered: Batch) -> None:
    judge = referee({OVERALL: GROUNDED}, silent="第2问")

    def hard(body: dict[str, Any]) -> fake.Reply:
        if "第3问" in body["messages"][-1]["content"]:
            return fake.Reply(status=502, error=DOWN)
        return judge(body)

    gateway.replies[JUDGE] = hard
    comparison = over(compared(gateway, answered))
    assert [(each.number, each.failure.kind) for each in comparison.failures if each.failure] == [
        (2, "judge_no_verdict"),
        (3, "upstream_error"),
    ]
    tally = comparison.tally(OVERALL)
    assert (tally.judged, tally.wins, comparison.done, comparison.left) == (4, 4, 6, [2, 3])
    doubts = "\n".join(memo_of(comparison, EN).doubts)
    assert "1 question has no judgement and count" in doubts
    assert "holds no verdict" in doubts
    asked = len(gateway.chats)
    gateway.replies[JUDGE] = referee({OVERALL: GROUNDED})
    comparison.start(Gateway(gateway.url, KEY), lambda: True)
    over(comparison)
    assert (comparison.failures, comparison.tally(OVERALL).wins, len(gateway.chats) - asked) == ([], 6, 4)


def test_a_comparison_is_stopped_and_gone_on_with(gateway: FakeGateway, answered: Batch) -> None:
    hold = threading.Event()
    judge = referee({OVERALL: GROUNDED})

    def slow(body: dict[str, Any]) -> fake.Reply:
        late = "第1问" not in body["messages"][-1]["content"]
        return fake.Reply(judge(body).pieces, stall=hold if late else None)

    gateway.replies[JUDGE] = slow
    comparison = compared(gateway, answered)
    eventually(
        lambda: comparison.done == 1 and len(gateway.chats) > 8, "the first is judged and others have begun"
    )
    comparison.stop()
    over(comparison)
    assert (len(comparison.judged), comparison.failures, comparison.left) == (1, [], [2, 3, 4, 5, 6])
    assert any("5 题尚未评" in doubt for doubt in memo_of(comparison, ZH).doubts)
    hold.set()
    comparison.start(Gateway(gateway.url, KEY), lambda: True)
    over(comparison)
    again = [chat for chat in gateway.chats if "第1问" in chat.body["messages"][-1]["content"]]
    assert (len(comparison.judged), len(again)) == (6, 2)


def test_only_what_both_answered_is_compared_and_the_rest_is_told(gateway: FakeGateway) -> None:
    def some(body: dict[str, Any]) -> fake.Reply:
        if "第1问" in body["messages"][-1]["content"]:
            return fake.Reply(status=502, error=DOWN)
        return fake.Reply([f"{ALONE}。"])

    gateway.replies[ASSISTANT] = fake.Reply([f"{GROUNDED}。"])
    gateway.replies[RAW] = some
    batch = begun(gateway, 3)
    ended(batch)
    gateway.replies[JUDGE] = referee({OVERALL: ALONE})
    comparison = over(compared(gateway, batch))
    assert comparable(batch, SIDES) == [2, 3]
    assert comparison.tally(OVERALL).losses == 2
    memo = memo_of(comparison, ZH)
    assert any("另有 1 题没有得到两栏的完整回答" in doubt for doubt in memo.doubts)
    assert [heading for heading, _ in memo.examples] == ["A 明显不如对方的问题"]


def test_the_memo_says_who_is_better_at_what_and_how_sure_that_is(
    gateway: FakeGateway, answered: Batch
) -> None:
    gateway.replies[JUDGE] = referee({OVERALL: GROUNDED, "计算依据": GROUNDED, "服务当事人": ALONE})
    comparison = over(compared(gateway, answered))
    memo = memo_of(comparison, ZH)
    assert (memo.first, memo.second) == ("A", "B")
    assert memo.facts[:4] == (
        ("A", f"有依据的回答 · {ASSISTANT}"),
        ("B", f"模型直接回答 · {RAW}"),
        ("裁判", JUDGE),
        ("标准", "法律咨询"),
    )
    told = "\n".join(memo.summary)
    for words in (
        "A 在 6 题上更好，B 在 0 题上更好，0 题不相上下",
        "得分率为 100 %，95 % 区间 61–100 %，可以认为 A 更好",
        "A 明显更好的方面：计算依据。",
        "B 明显更好的方面：服务当事人。",
        "尚难断定的方面：证据链、",
    ):
        assert words in told, words
    ((heading, examples),) = memo.examples
    assert (heading, len(examples)) == ("B 明显不如对方的问题", 3)
    assert examples[0].remarks[0].reason == "答复A写明了依据=2"
    assert [each.name for each in examples[0].remarks] == ["总评", "计算依据"]
    english = memo_of(comparison, EN)
    assert english.lines[1].name == "Basis of calculation"
    assert "A is clearly better at: Basis of calculation." in english.summary


def test_a_difference_of_few_questions_may_be_chance(gateway: FakeGateway) -> None:
    gateway.replies[ASSISTANT] = fake.Reply([f"{GROUNDED}。"])
    gateway.replies[RAW] = fake.Reply([f"{ALONE}。"])
    batch = begun(gateway, 2)
    ended(batch)
    gateway.replies[JUDGE] = referee({OVERALL: GROUNDED})
    memo = memo_of(over(compared(gateway, batch)), EN)
    assert memo.lines[0].rate is not None
    assert memo.lines[0].leader == 0
    assert "whether A is better is open" in memo.summary[1]


def test_a_judge_that_answered_itself_is_told(gateway: FakeGateway, answered: Batch) -> None:
    gateway.replies[RAW] = referee({OVERALL: GROUNDED})
    comparison = over(compared(gateway, answered, RAW))
    assert any("裁判本身就是作答的模型之一" in doubt for doubt in memo_of(comparison, ZH).doubts)


def test_the_shipped_rubrics_speak_the_languages_of_the_pages() -> None:
    for name in SHIPPED:
        rubric = read(name)
        assert {rubric.title(code) for code in codes()} >= set(rubric.titles.values())
        assert rubric.titles.keys() == set(codes())
        for each in rubric.criteria:
            assert each.told("en") != each.told("zh-CN")


# Exports


def test_every_export_has_the_memo_and_what_was_said_of_each_question(
    gateway: FakeGateway, answered: Batch
) -> None:
    gateway.replies[JUDGE] = referee({OVERALL: GROUNDED, "计算依据": GROUNDED})
    comparison = over(compared(gateway, answered))
    answered.turns[1].replies[Side.RAW].content = "=1+1\x07" + "长" * LONGEST
    report = report_of(answered.turns, ZH, answered.name, comparison)
    font = fonts.find()
    assert font, "install fonts-noto-cjk"
    with pypdfium2.PdfDocument(pdf_of(report, ZH, font)) as document:
        pdf = "".join(page.get_textpage().get_text_range() for page in document)
    word = docx.Document(io.BytesIO(docx_of(report, ZH)))
    cells = [cell.text for each in word.tables for row in each.rows for cell in row.cells]
    paragraphs = [paragraph.text for paragraph in word.paragraphs]
    texts = {
        "markdown": markdown_of(report, ZH).decode(),
        "docx": "\n".join([*paragraphs, *cells]),
        "pdf": pdf,
    }
    for form, text in texts.items():
        plain = "".join(text.split()).replace("\\", "")
        for said in (
            "比较备忘录：A与B",
            "计算依据",
            "100%（61–100%）",
            "可以认为A更好",
            "裁判是一个模型",
            "答复A写明了依据=2",
        ):
            assert said in plain, (form, said)
    csv = csv_of(report, ZH).decode("utf-8-sig")
    assert "裁判：计算依据" in csv
    assert "A 更好 — 答复A写明了依据=2" in csv


def test_a_workbook_has_the_memo_and_no_formula(gateway: FakeGateway, answered: Batch) -> None:
    gateway.replies[JUDGE] = referee({OVERALL: GROUNDED})
    comparison = over(compared(gateway, answered))
    for number, begins in enumerate("=+-@"):
        answered.turns[number].replies[Side.RAW].content = f"{begins}1+1\x07" + "长" * LONGEST
    report = report_of(answered.turns, ZH, answered.name, comparison)
    book = load_workbook(io.BytesIO(xlsx_of(report, ZH)))
    assert book.sheetnames == ["备忘录", "回答"]
    rows = list(book["回答"].iter_rows())
    assert [cell.value for cell in rows[0]][-8:] == [f"裁判：{each}" for each in ("总评", *CRITERIA)]
    assert len(rows) == 1 + 12
    for number, begins in enumerate("=+-@"):
        cell = rows[2 + 2 * number][3]
        assert (cell.data_type, cell.quotePrefix, str(cell.value)[:4]) == ("s", True, f"{begins}1+1")
        assert len(str(cell.value)) == LONGEST
    assert {
        cell.data_type for row in book["备忘录"].iter_rows() for cell in row if cell.value is not None
    } <= {"s", "n"}
    plain = load_workbook(io.BytesIO(xlsx_of(report_of(answered.turns, ZH), ZH)))
    assert plain.sheetnames == ["回答"]


# The page


@pytest.fixture
def page(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    """The batch page with three questions that both columns have answered, at the comparison."""
    gateway.replies[ASSISTANT] = fake.Reply([f"{GROUNDED}[1]。"], citations=[citation()])
    gateway.replies[RAW] = fake.Reply([f"{ALONE}。"])
    monkeypatch.setenv("PRAXIS_GATEWAY_URL", gateway.url)
    app = AppTest.from_function(draw, default_timeout=60, args=(KEY,)).run()
    finished(press(upload(app, table(3)), "开始提问（3 个问题 × 2 栏）"))
    yield to_memo(app)
    held(app).sign_out()


def held(app: AppTest) -> Session:
    session: Session = app.session_state["session"]
    return session


def to_memo(app: AppTest) -> AppTest:
    app.segmented_control[0].set_value("memo").run()
    assert not app.exception
    return app


def judged(app: AppTest) -> AppTest:
    comparison = held(app).comparison
    assert comparison
    over(comparison)
    app.run()
    assert not app.exception
    return app


def test_the_page_compares_and_shows_the_memo(page: AppTest, gateway: FakeGateway) -> None:
    assert "金额的计算基数" in shown(page)
    assert "共向裁判模型提问 6 次" in shown(page)
    assert next(box for box in page.selectbox if box.label == "裁判模型").value == JUDGE
    gateway.replies[JUDGE] = referee({OVERALL: GROUNDED, "证据链": GROUNDED})
    judged(press(page, "逐项比较（3 个问题）"))
    text = shown(page)
    for words in (
        "比较备忘录：A 与 B",
        "已评 3 / 3",
        "B 明显不如对方的问题",
        "答复A写明了依据=2",
        "裁判是一个模型",
    ):
        assert words in text, words
    page.button(key="example-1").click().run()
    assert "引用出处（1）" in shown(page)
    page.segmented_control[0].set_value("answers").run()
    assert "证据链" in shown(page)  # beside the answers of the question that is open
    press(to_memo(page), "重新比较")
    assert held(page).comparison is None
    assert any(button.label == "逐项比较（3 个问题）" for button in page.button)


def test_the_other_rubric_and_the_other_language(page: AppTest, gateway: FakeGateway) -> None:
    held(page).locale = EN
    page.run()
    to_memo(page)
    next(box for box in page.selectbox if box.label == "Rubric").set_value("medical").run()
    assert "Medical accuracy" in shown(page)
    gateway.replies[JUDGE] = fake.Reply(["**Safety**: [[A]] answer A is safer\n- Overall: [[A]]"])
    judged(press(page, "Compare 3 questions"))
    messages = [each["content"] for each in gateway.chat_of(JUDGE).body["messages"]]
    assert "- Safety: Are warning signs seen" in messages[0]
    assert "<answer A>\n" in messages[1]
    alone = (
        "".join(messages)
        .replace(GROUNDED, "")
        .replace(ALONE, "")
        .replace("第", "")
        .replace("问？", "")
        .replace("。", "")
    )
    assert not re.findall("[一-鿿]", alone), "an English judge reads no Chinese but the answers"
    for words in ("Memo: A compared with B", "Safety", "On 3 questions", "Medical consultation"):
        assert words.lower() in shown(page).lower(), words


def test_a_judge_that_answers_itself_is_warned_of(page: AppTest) -> None:
    next(box for box in page.selectbox if box.label == "裁判模型").set_value(RAW).run()
    assert "所选裁判也是作答的模型之一" in shown(page)


def test_what_a_judge_writes_stays_words(page: AppTest, gateway: FakeGateway) -> None:
    gateway.replies[JUDGE] = lambda body: fake.Reply(
        [
            f"总评：[[{'A' if GROUNDED in body['messages'][-1]['content'].split('</答复A>')[0] else 'B'}]] <script>alert(1)</script>"
        ]
    )
    judged(press(page, "逐项比较（3 个问题）"))
    assert "&lt;script&gt;" in shown(page)
    assert "<script>" not in shown(page)


def test_of_three_columns_somebody_says_which_two(page: AppTest, gateway: FakeGateway) -> None:
    session = held(page)
    press(page, "另选文件")
    session.third = True
    page.run()
    finished(press(upload(page, table(2)), "开始提问（2 个问题 × 3 栏）"))
    to_memo(page)
    control = next(each for each in page.segmented_control if each.label == "比较哪两栏")
    control.set_value(1).run()
    next(box for box in page.selectbox if box.label == "裁判模型").set_value(RAW).run()
    gateway.replies[RAW] = referee({OVERALL: "好的"})
    judged(press(page, "逐项比较（2 个问题）"))
    assert session.comparison
    assert session.comparison.sides == (Side.GROUNDED, Side.OTHER)
    assert "比较备忘录：A 与 C" in shown(page)
    trial = session.comparison.judged[0]
    said = next(each for each in remarks(session.comparison, trial, ZH))
    assert (said.told, said.reason) == ("C 更好", "答复C写明了依据=2")  # and not B, which is another column
