"""Texts that are no Chinese statutes: split at the headings of their kind, nothing lost."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.ingest import statutes
from rag.ingest.chunking import chunks
from rag.ingest.document import Chunk

ACT = """EMPLOYMENT PROTECTION ACT 2019
Enacted 3 May 2019, in force from January 1, 2020

PART I
PRELIMINARY

Section 1. Short title
This Act may be cited as the Employment Protection Act.

Section 2. Interpretation
In this Act, "worker" means any person who works under a contract.
Section 5 of the Contracts Act applies.
Section 1(2) does not apply.

PART II — HOURS OF WORK

Chapter 1 Limits

Section 12. Working time
No worker shall work more than forty hours a week, save under
Section 12A and section 14.

Section 12A Overtime
Overtime is paid at one and a half times the ordinary rate.

SCHEDULE 1
Forms
"""

JUDGMENT = """北京市第三中级人民法院
民事判决书
（2021）京03民终1234号
上诉人（原审被告）：某某科技有限公司。
上诉人某某科技有限公司上诉请求：1.撤销一审判决；2.改判不支付加班费。事实与理由：双方约定了包薪制。
张某辩称，公司未足额支付加班费。
一审法院认定事实：张某于2018年3月1日入职，月薪八千元。
本院认为，用人单位应当按照劳动合同约定的工资标准支付加班费。
第四十四条规定的工资标准应当包括各项津贴。
综上所述，上诉人的上诉请求不能成立。依照《中华人民共和国民事诉讼法》第一百七十七条规定，判决如下：
驳回上诉，维持原判。
"""

GUIDELINE = """高血压防治指南

1 诊断
1.1 诊断标准
在未使用降压药的情况下，非同日三次测量血压，收缩压不低于140毫米汞柱。
1.2 分级
按照血压水平分为一级、二级和三级。
2 治疗
2.1 药物治疗
常用药物包括利尿剂、钙通道阻滞剂。
（一）利尿剂
适用于老年高血压。
（二）钙通道阻滞剂
适用于大多数患者。
"""

PAPER = """# Salt and blood pressure

## Abstract
Salt raises blood pressure.

## Methods
We measured 200 patients.

### Statistics
A t test was used.

## References
1. Smith J. Salt. Lancet 2010.
"""


def split(text: str, limit: int = 400, overlap: int = 0) -> list[Chunk]:
    return list(chunks(text, limit, len, overlap))


def piece(text: str, chunk: Chunk) -> str:
    return text[chunk.start : chunk.end]


@pytest.mark.parametrize("limit", [40, 120, 400])
@pytest.mark.parametrize(
    "text", [ACT, JUDGMENT, GUIDELINE, PAPER], ids=["act", "judgment", "guideline", "paper"]
)
def test_nothing_is_lost(text: str, limit: int) -> None:
    at = 0
    for chunk in split(text, limit):
        assert not text[at : chunk.start].strip()
        assert at <= chunk.start < chunk.end <= chunk.start + limit
        at = chunk.end
    assert not text[at:].strip()


def test_an_english_act_is_split_at_its_sections_and_citations_are_no_headings() -> None:
    found = [each for each in split(ACT) if each.article]
    assert [each.article for each in found] == ["Section 1", "Section 2", "Section 12", "Section 12A"]
    assert {each.law for each in found} == {"EMPLOYMENT PROTECTION ACT 2019"}
    assert {each.version for each in found} == {"2020-01-01"}
    assert found[2].path == "PART II — HOURS OF WORK Chapter 1 Limits"
    assert piece(ACT, found[2]).endswith("Section 12A and section 14.")


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("Article {} Freedom of work", "Article"),
        ("Article {}", "Article"),
        ("ARTICLE {}. Freedom", "Article"),
        ("§ {}. Civil action", "§"),
        ("§{} Civil action", "§"),
        ("Sec. {}. Short title", "Section"),
        ("**Section {}.** Short title", "Section"),
    ],
)
def test_articles_are_written_in_many_ways(heading: str, name: str) -> None:
    text = "Some Code\n\n" + "\n\n".join(f"{heading.format(each)}\nThe text of it." for each in (7, 8, 9, 10))
    assert [each.article for each in split(text) if each.article] == [
        f"{name} {each}" for each in (7, 8, 9, 10)
    ]


def test_roman_numbers_count() -> None:
    text = "Covenant\n\n" + "\n\n".join(
        f"Article {each}\nThe text of it." for each in ("I", "IV", "IX", "XIV")
    )
    assert [each.article for each in split(text) if each.article] == [
        f"Article {each}" for each in ("I", "IV", "IX", "XIV")
    ]


def test_a_judgment_is_split_at_its_formulas() -> None:
    assert not statutes.is_statute(JUDGMENT)
    paths = [each.path for each in split(JUDGMENT, limit=80)]
    assert any("上诉请求" in each for each in paths)
    reasons = next(each for each in split(JUDGMENT, limit=80) if each.path == "本院认为")
    assert piece(JUDGMENT, reasons).startswith("本院认为，用人单位")
    assert "第四十四条规定" in piece(JUDGMENT, reasons)


def test_numbered_headings_make_the_path() -> None:
    found = {each.path: piece(GUIDELINE, each) for each in split(GUIDELINE, limit=28)}
    assert found["1 诊断 1.2 分级"] == "1.2 分级\n按照血压水平分为一级、二级和三级。"
    assert found["2 治疗 2.1 药物治疗 （二）钙通道阻滞剂"] == "（二）钙通道阻滞剂\n适用于大多数患者。"


def test_markdown_and_marked_headings_are_headings() -> None:
    assert [each.path for each in split(PAPER, limit=60) if each.indexed] == [
        "Salt and blood pressure Abstract",
        "Salt and blood pressure Methods",
        "Salt and blood pressure Methods Statistics",
        "Salt and blood pressure References",
    ]
    text = "标的\n甲方交付一百台设备。\n价款\n共计十万元。\n"
    found = list(chunks(text, 16, len, 0, [(0, 1), (text.index("价款"), 1)]))
    assert [(each.path, piece(text, each)) for each in found] == [
        ("标的", "标的\n甲方交付一百台设备。"),
        ("价款", "价款\n共计十万元。"),
    ]


def test_small_sections_are_kept_together() -> None:
    found = split(GUIDELINE, limit=2000)
    assert [piece(GUIDELINE, each) for each in found] == [GUIDELINE.strip()]


def test_pieces_of_prose_share_what_is_asked_for_and_no_more() -> None:
    text = "".join(f"这是第{number}句话，讲的是工资的支付。" for number in range(60))
    found = split(text, limit=100, overlap=40)
    for one, other in itertools.pairwise(found):
        assert 0 < one.end - other.start <= 40
        assert text[other.start - 1] == "。"
        assert other.end - other.start <= 100
    assert not any(a.end > b.start for a, b in zip(split(text, 100), split(text, 100)[1:], strict=False))


def test_a_long_article_goes_on_from_its_head_and_knows_paragraph_and_item() -> None:
    items = "\n".join(f"（{number}）{'甲' * 60}；" for number in "一二三四五六")
    text = f"示例法\n2019年1月2日通过\n第一条 为了示例。\n第二条 有下列情形之一的，应当支付报酬：\n{items}\n{'乙' * 90}。\n第三条 略。\n"
    pieces = [each for each in split(text, limit=150) if each.article == "第二条"]
    assert pieces[0].head == ""
    assert {each.head for each in pieces[1:]} == {"第二条 有下列情形之一的，应当支付报酬："}
    assert [each.clause for each in pieces] == [
        "第一款", "第一款第二项", "第一款第四项", "第一款第六项", "第二款",
    ] or [each.clause for each in pieces][-1] == "第二款"  # fmt: skip
    assert {each.clause for each in split(text, limit=2000)} == {None}


LINES = st.sampled_from(
    [
        *ACT.split("\n"),
        *JUDGMENT.split("\n"),
        *GUIDELINE.split("\n"),
        *PAPER.split("\n"),
        "第一条 甲。",
        "第二条 乙：",
        "（一）丙；",
        "第三章 丁",
        "第三十条的规定适用。",
        "字" * 130,
        "a b " * 40,
        "\u3000",
        "附件一：表",
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(LINES, max_size=40).map("\n".join), st.sampled_from([20, 64, 200]), st.sampled_from([0, 8, 50])
)
def test_no_mixture_of_structures_loses_text(text: str, limit: int, overlap: int) -> None:
    at = begun = 0
    for chunk in split(text, limit, overlap):
        assert not text[at : chunk.start].strip()
        assert begun <= chunk.start < chunk.end <= chunk.start + limit
        assert chunk.end > at
        begun, at = chunk.start, chunk.end
    assert not text[at:].strip()
