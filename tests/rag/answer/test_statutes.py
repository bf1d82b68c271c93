"""Laws, articles and figures are read alike in every way that people write them."""

import pytest

from rag.answer.statutes import (
    canonical_article,
    known_law,
    quantities,
    read_numeral,
    references,
    same_law,
    write_numeral,
)


@pytest.mark.parametrize(
    "value", [1, 9, 10, 11, 20, 44, 99, 100, 101, 110, 120, 999, 1000, 1001, 1010, 1079, 1260, 9999]
)
def test_a_numeral_reads_as_it_was_written(value: int) -> None:
    assert read_numeral(write_numeral(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("四十四", 44),
        ("４４", 44),
        ("一百零八", 108),
        ("一千二百六十", 1260),
        ("一九九四", 1994),
        ("三万", 30_000),
        ("两百", 200),
    ],
)
def test_numerals_as_people_write_them(text: str, value: int) -> None:
    assert read_numeral(text) == value


@pytest.mark.parametrize("text", ["第四十四条", "第44条", "第 44 条", "第４４条", "Article 44", "Art. 44"])
def test_every_form_of_an_article_is_one(text: str) -> None:
    assert canonical_article(text) == "第四十四条"


def test_an_inserted_article_keeps_its_number() -> None:
    assert canonical_article("第120条之一") == "第一百二十条之一"


def test_a_law_is_the_same_with_and_without_its_state_and_edition() -> None:
    assert same_law("《中华人民共和国劳动法》（2018修正）", "劳动法")
    assert same_law("民法典", "中华人民共和国民法典·合同编")
    assert not same_law("劳动法", "劳动合同法")


def named(text: str, *laws: str) -> list[tuple[str | None, str | None]]:
    return [(each.law, each.article) for each in references(text, laws)]


def test_references_in_prose() -> None:
    assert named("根据《劳动法》第四十四条、第45条的规定") == [
        ("劳动法", "第四十四条"),
        ("劳动法", "第四十五条"),
    ]
    assert named("根据劳动合同法第八十七条") == [("劳动合同法", "第八十七条")]
    assert named("以及工资支付暂行规定第十三条") == [("工资支付暂行规定", "第十三条")]
    assert named("应适用劳动保障监察条例第三条", "劳动保障监察条例") == [("劳动保障监察条例", "第三条")]
    assert named("see Article 44 of the Labour Law.") == [("Labour Law", "第四十四条")]


def test_what_points_back_has_the_law_named_before() -> None:
    assert named("《劳动法》规定如下。本法第三条") == [("劳动法", None), ("劳动法", "第三条")]
    assert [each.law for each in references("第三条", (), "劳动法")] == ["劳动法"]


def test_a_document_that_is_no_law_is_not_taken_for_one() -> None:
    assert named("请看《员工手册》和《会议纪要》。") == []


def test_figures_are_compared_by_value() -> None:
    assert set(quantities("百分之一百五十")) == set(quantities("150%")) == set(quantities("1.5倍")) == {1.5}
    assert set(quantities("每日八小时，8000元，三万元，１２％")) == {8.0, 8000.0, 30_000.0, 0.12}


def test_what_only_looks_like_a_figure_is_none() -> None:
    assert not quantities("《劳动法》第四十四条第二款（一）统一规定，一般第一次")
    assert not quantities("1. 工资\n（2）加班费")


LAWS = (
    "中华人民共和国劳动合同法",
    "中华人民共和国劳动法",
    "中华人民共和国民法典",
    "中华人民共和国民事诉讼法",
    "中华人民共和国道路交通安全法",
    "中华人民共和国道路运输条例",
    "最高人民法院关于适用《中华人民共和国民事诉讼法》的解释",
    "最高人民法院关于适用《中华人民共和国保险法》若干问题的解释（二）",
    "最高人民法院关于适用《中华人民共和国保险法》若干问题的解释（三）",
    "最高人民法院关于适用《中华人民共和国民法典》有关担保制度的解释",
)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("劳合法", LAWS[0]),
        ("请问劳合法", LAWS[0]),
        ("劳动法", LAWS[1]),
        ("民法典合同编", LAWS[2]),
        ("民诉法", LAWS[3]),
        ("道交法", LAWS[4]),
        ("民诉法解释", LAWS[6]),
        ("担保制度解释", LAWS[9]),
        ("合同法", None),  # a law of its own, which is not here
        ("保险法解释", None),  # there are two
        ("公司法", None),
        ("法", None),
    ],
)
def test_a_short_form_means_the_one_law_that_it_fits(said: str, meant: str | None) -> None:
    assert known_law(said, LAWS) == meant
