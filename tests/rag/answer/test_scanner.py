"""However an answer is cut into deltas, it is read the same, and no marker is ever cut."""

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.answer.scanner import Item, Mark, Scanner, Sentence

RECORDED = [
    "根据《劳动法》第四十四条[1]，休息日加班应支付不低于工资的百分之二百的工资报酬[2]。建议保留证据。",
    "1. 平日加班：百分之一百五十 [1]；\n2. 休息日【2】。[3] 然后“是的。”[1, 2]最后，见法释[2020]26号。\n\n",
    "Overtime is paid at 150% of the wage [1-2]. See Art. 44 of the law, e.g. v. 2. It costs 3.5 yuan [9].\n- done [2]",
    "```python\na[1] = b[7]  # 。\n```\n正文`x[1]`结束[1]。[7] [12",
    "## 标题\n| 列 | 值[1] |\n说明如下：\n参考资料：\n[1] 《劳动法》第四十四条\n[3] 第五十条",
    "……真的？！“当然。”（见[2]）**必须支付。**[^1] 完",
    "[1]",
    "[[1]]【１】［2］[0][4][99][100][1000][1,9][]",
    "",
]


def read(pieces: list[str], passages: int = 3) -> list[Item]:
    scanner = Scanner(passages)
    items = [item for piece in pieces for item in scanner.feed(piece)]
    return joined([*items, *scanner.close(complete=True)])


def joined(items: list[Item]) -> list[Item]:
    """Neighbouring pieces of text as one: how text is cut between deltas means nothing."""
    merged: list[Item] = []
    for item in items:
        if isinstance(item, str) and merged and isinstance(merged[-1], str):
            merged[-1] += item
        else:
            merged.append(item)
    return merged


def text_of(items: list[Item]) -> str:
    return "".join(
        "".join(map(str, item.tail)) if isinstance(item, Sentence) else str(item) for item in items
    )


@pytest.mark.parametrize("answer", RECORDED)
def test_every_split_in_two_reads_the_same(answer: str) -> None:
    whole = read([answer])
    for at in range(len(answer) + 1):
        assert read([answer[:at], answer[at:]]) == whole
    assert read(list(answer)) == whole


@given(st.text(alphabet="[]【】0123, -^。.！\n `“”劳动a#|：；", max_size=60), st.data())
@settings(max_examples=300, deadline=None)
def test_any_chunking_of_any_text_reads_the_same(answer: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=6)))
    bounds = [0, *cuts, len(answer)]
    assert read([answer[a:b] for a, b in pairwise(bounds)]) == read([answer])


@given(st.text(alphabet="[]【】0123, -。\n 劳动a", max_size=60))
@settings(max_examples=300, deadline=None)
def test_only_markers_change_and_only_to_existing_ones(answer: str) -> None:
    items = read([answer])
    shown = text_of(items)
    assert re.sub(r"[\[\]【】\d,\s-]", "", shown) == re.sub(r"[\[\]【】\d,\s-]", "", answer)
    marks = [item for item in items if isinstance(item, Mark)]
    marks += [
        piece
        for item in items
        if isinstance(item, Sentence)
        for piece in item.tail
        if isinstance(piece, Mark)
    ]
    assert all(1 <= mark.number <= 3 for mark in marks)


def test_text_is_not_held_back_within_a_sentence() -> None:
    assert list(Scanner(1).feed("根据劳动法的规定")) == ["根据劳动法的规定"]


def test_only_the_beginning_of_a_marker_and_the_end_of_a_sentence_wait() -> None:
    scanner = Scanner(1)
    assert list(scanner.feed("应当支付[")) == ["应当支付"]
    assert list(scanner.feed("1")) == []
    assert list(scanner.feed("]")) == [Mark(1)]
    assert list(scanner.feed("。")) == []
    (sentence, text) = scanner.feed("然后")
    assert isinstance(sentence, Sentence)
    assert sentence.tail == ("。",)
    assert text == "然后"


def test_markers_out_of_range_are_taken_out_and_their_space_too() -> None:
    assert text_of(read(["It is paid [9]. Yes [4, 2]."])) == "It is paid. Yes [2]."
    assert text_of(read(["[0][4][100]"])) == ""


def test_years_and_code_are_no_markers() -> None:
    for text in ("法释[2020]26号", "`a[7]`", "```\na[7]\n```", "- [ ] 待办", "[链接]"):
        assert text_of(read([text])) == text


def test_every_form_of_a_marker_is_written_in_one() -> None:
    assert text_of(read(["甲【1】乙［２］丙[1、3]丁[1-3]戊[^2]"])) == "甲[1]乙[2]丙[1][3]丁[1][2][3]戊[2]"


def sentences(answer: str) -> list[Sentence]:
    return [item for item in read([answer]) if isinstance(item, Sentence)]


def test_a_marker_after_the_stop_belongs_to_the_sentence_before() -> None:
    first, second = sentences("应当支付加班费。[2] 其他不清楚。")
    assert first.claims == ((2, "应当支付加班费"),)
    assert second.claims == ()


def test_a_claim_is_what_stands_before_its_marker() -> None:
    (sentence,) = sentences("平日百分之一百五十[1]，休息日百分之二百[2][3]。")
    assert [(number, claim) for number, claim in sentence.claims] == [
        (1, "平日百分之一百五十"),
        (2, "，休息日百分之二百"),
        (3, "，休息日百分之二百"),
    ]


def test_headings_lead_ins_and_table_rows_are_not_finished_sentences() -> None:
    assert [each.finished for each in sentences("## 加班费\n标准如下：\n| 平日 | 150% |\n应当支付。")] == [
        False
    ] * 3 + [True]


def test_an_answer_that_was_cut_off_does_not_end_in_a_sentence() -> None:
    scanner = Scanner(1)
    list(scanner.feed("应当支付不低于"))
    (sentence,) = scanner.close(complete=False)
    assert isinstance(sentence, Sentence)
    assert not sentence.finished


def test_abbreviations_numbers_and_decimals_end_no_sentence() -> None:
    assert [each.text for each in sentences("1. See Art. 44 at 3.5 yuan, e.g. this. Then that.")] == [
        "1. See Art. 44 at 3.5 yuan, e.g. this",
        "Then that",
    ]
