"""Statutes split into their articles: nothing lost, no citation taken for a heading."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.ingest import statutes
from rag.ingest.chunking import chunks
from rag.ingest.document import Chunk
from tests.rag.conftest import LAWS, SAMPLES

BODY = "为了保护劳动者的合法权益，制定本法。"


def split(text: str, limit: int = 400) -> list[Chunk]:
    return list(chunks(text, limit, len))


def articles(text: str) -> list[str | None]:
    return [each.article for each in split(text) if each.article]


def law(*lines: str) -> str:
    return "\n\n".join(["示例法", "2019年1月2日 通过", *lines]) + "\n"


def all_laws() -> Iterator[Path]:
    yield from sorted(SAMPLES.glob("*.txt"))
    yield from sorted(LAWS.glob("*.txt"))


@pytest.mark.parametrize("path", all_laws(), ids=lambda path: path.stem[-20:])
def test_the_chunks_of_a_law_are_the_law(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    at = 0
    for chunk in split(text):
        assert not text[at : chunk.start].strip(), "text lost between chunks"
        assert at <= chunk.start < chunk.end
        assert chunk.end - chunk.start <= 400
        at = chunk.end
    assert not text[at:].strip(), "text lost at the end"


@pytest.mark.parametrize("path", all_laws(), ids=lambda path: path.stem[-20:])
def test_every_article_of_a_law_is_found_in_order(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = [each.article for each in split(text) if each.article]
    # One source writes 「第一百二十八 条侦查」: the space stands before 条 instead of after it.
    written = re.findall(r"^(第[^条\s]{1,9}(?: 条|条(?:之[一二三四五六七八九十]+)?(?= )))", text, re.M)
    headings = [each.replace(" ", "") for each in written]
    assert list(dict.fromkeys(found)) == headings


def test_an_article_knows_its_law_version_and_chapter() -> None:
    text = (SAMPLES / "中华人民共和国劳动法.txt").read_text(encoding="utf-8")
    chunk = next(each for each in split(text) if each.article == "第四十四条")
    assert (chunk.law, chunk.version, chunk.path) == (
        "中华人民共和国劳动法",
        "2018-12-29",
        "第四章 工作时间和休息休假",
    )
    piece = text[chunk.start : chunk.end]
    assert piece.startswith("第四十四条 有下列情形之一的")
    assert piece.endswith("支付不低于工资的百分之三百的工资报酬。")


def test_thousands_sub_articles_and_arabic_and_wide_digits_are_headings() -> None:
    assert articles(law(f"第九百九十九条 {BODY}", f"第一千条 {BODY}", f"第一千零一条 {BODY}")) == [
        "第九百九十九条",
        "第一千条",
        "第一千零一条",
    ]
    assert articles(
        law(f"第十条 {BODY}", f"第十条之一 {BODY}", f"第十条之二 {BODY}", f"第十一条 {BODY}")
    ) == [
        "第十条",
        "第十条之一",
        "第十条之二",
        "第十一条",
    ]
    assert articles(law(f"第1条 {BODY}", f"第2条 {BODY}", f"第３条　{BODY}")) == [
        "第一条",
        "第二条",
        "第三条",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "第三十条的规定适用于前款。",
        "第三十条、第三十一条规定的情形除外。",
        "第三十条 规定的情形除外。",
        "第三十条第二款规定的除外。",
        "第三十条 第二款规定的除外。",
        "第三十条 和第三十一条同样适用。",
    ],
)
def test_a_cross_reference_at_the_beginning_of_a_line_is_no_heading(line: str) -> None:
    text = law(f"第一条 {BODY}依照本法", line, f"第二条 {BODY}", f"第三条 {BODY}")
    assert articles(text) == ["第一条", "第二条", "第三条"]


def test_a_leap_in_the_count_is_a_citation_while_the_next_number_is_still_to_come() -> None:
    text = law(f"第一条 {BODY}", "第九十一条 处罚", f"第二条 {BODY}", f"第三条 {BODY}")
    assert list(dict.fromkeys(articles(text))) == ["第一条", "第二条", "第三条"]


def test_an_excerpt_may_leave_articles_out() -> None:
    assert articles(law(f"第三条 {BODY}", f"第十条 {BODY}", f"第四十四条 {BODY}")) == [
        "第三条",
        "第十条",
        "第四十四条",
    ]


def test_headings_without_a_space_are_found_where_a_sentence_ended() -> None:
    assert articles(law(f"第一条{BODY}", f"第二条{BODY}", "第三条规定的除外。", f"第三条{BODY}")) == [
        "第一条",
        "第二条",
        "第三条",
    ]


def test_parts_chapters_and_sections_make_the_path() -> None:
    text = law(
        "第一编 总则",
        "第一章 通则",
        "第一节 一般规定",
        f"第一条 {BODY}",
        "第二章 期限",
        f"第二条 {BODY}",
        "第二编 物权",
        f"第三条 {BODY}",
    )
    paths = [each.path for each in split(text) if each.article]
    assert paths == ["第一编 总则 第一章 通则 第一节 一般规定", "第一编 总则 第二章 期限", "第二编 物权"]
    assert all(
        not each.indexed for each in split(text) if text[each.start :].startswith(("第一编", "第二章"))
    )


def test_a_long_article_is_split_by_its_paragraphs_and_keeps_its_number() -> None:
    paragraphs = [f"（{number}）{'甲' * 90}；" for number in "一二三四五六七八九十"]
    text = law(f"第一条 {BODY}", "第二条 有下列情形之一的：\n" + "\n".join(paragraphs), f"第三条 {BODY}")
    pieces = [each for each in split(text, limit=200) if each.article == "第二条"]
    assert len(pieces) > 3
    assert all(text[each.start : each.end].endswith("；") for each in pieces)


def test_the_version_is_the_latest_date_before_the_first_article() -> None:
    assert statutes.latest_date("1994年7月5日通过 2018年12月29日修正") == "2018-12-29"
    assert statutes.latest_date("一九九四年十二月六日") == "1994-12-06"
    assert statutes.latest_date("没有日期") is None
    assert split(law(f"第一条 {BODY}", "第二条 本法自2020年5月1日起施行。"))[-1].version == "2019-01-02"


def test_a_title_broken_over_lines_is_put_together() -> None:
    text = "最高人民法院关于审理劳动争议案件\n适用法律若干问题的解释（三）\n2010年7月12日通过\n"
    assert statutes.title(text, len(text)) == "最高人民法院关于审理劳动争议案件适用法律若干问题的解释（三）"


def test_prose_is_cut_at_sentences_and_nothing_is_lost() -> None:
    text = "\n".join(f"这是第{number}段。" + "内容很多，需要说明！" * 9 for number in range(40))
    pieces = split(text, limit=120)
    assert all(text[each.start : each.end][-1] in "。！" for each in pieces)
    assert "".join("".join(text[each.start : each.end].split()) for each in pieces) == "".join(text.split())
    assert {each.law for each in pieces} == {None}


def test_text_without_any_boundary_is_cut_all_the_same() -> None:
    pieces = split("字" * 5000, limit=100)
    assert [each.end - each.start for each in pieces] == [100] * 50


FIRST = "中华人民共和国甲法\n\n2009年8月27日 通过\n\n第一章 总则\n\n第一条 甲法之一。\n\n第二条 甲法之二。"
SECOND = "中华人民共和国乙法\n（2018年12月29日修正）\n目录\n第一章 总则\n第一章 总则\n第一条 乙法之一。\n第二条 乙法之二。"
RULING = "最高人民法院关于审理丙案件\n适用法律若干问题的解释\n为正确审理丙案件，制定本解释。\n第一条 丙解释之一。\n第二条 丙解释之二。"
EXCERPT = "中华人民共和国丁法\n第四十四条 丁法之四十四。\n第五十条 丁法之五十。"


def test_each_law_of_a_file_with_several_keeps_its_own_articles() -> None:
    text = "\n\n".join([FIRST, SECOND, RULING, EXCERPT])
    found = {
        text[each.start : each.end].split(" ")[1]: (each.law, each.article, each.version)
        for each in split(text)
        if each.article
    }
    ruling = "最高人民法院关于审理丙案件适用法律若干问题的解释"
    assert found == {
        "甲法之一。": ("中华人民共和国甲法", "第一条", "2009-08-27"),
        "甲法之二。": ("中华人民共和国甲法", "第二条", "2009-08-27"),
        "乙法之一。": ("中华人民共和国乙法", "第一条", "2018-12-29"),
        "乙法之二。": ("中华人民共和国乙法", "第二条", "2018-12-29"),
        "丙解释之一。": (ruling, "第一条", None),
        "丙解释之二。": (ruling, "第二条", None),
        "丁法之四十四。": ("中华人民共和国丁法", "第四十四条", None),
        "丁法之五十。": ("中华人民共和国丁法", "第五十条", None),
    }


def test_a_second_law_is_found_without_space_after_its_numbers() -> None:
    text = FIRST + "\n\n中华人民共和国乙法\n\n第一条为了乙，制定本法。\n\n第二条乙法之二。"
    assert [(each.law, each.article) for each in split(text) if each.article][2:] == [
        ("中华人民共和国乙法", "第一条"),
        ("中华人民共和国乙法", "第二条"),
    ]


def test_a_law_named_within_an_article_begins_none() -> None:
    text = law(
        "第一条 下列规定同时废止：\n（一）《工资支付办法》\n（二）企业职工奖惩条例\n全民所有制企业奖惩条例",
        f"第二条 {BODY}",
        f"第三条 {BODY}",
    )
    assert {each.law for each in split(text)} == {"示例法"}


def test_a_book_of_all_laws_is_split_as_the_laws_are() -> None:
    texts = [path.read_text(encoding="utf-8") for path in all_laws()]

    def articles_of(text: str) -> set[tuple[str | None, ...]]:
        return {
            (each.law, each.article, each.version, text[each.start : each.start + 20].split("\n")[0])
            for each in split(text)
            if each.article
        }

    assert set().union(*map(articles_of, texts)) <= articles_of("\n".join(texts))
