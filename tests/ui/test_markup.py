"""What a model or a document wrote cannot become markup, and markers lead to their citations."""

import pytest

from praxis.i18n import Locale
from ui.client import Citation, Unverified
from ui.markup import citation_html, model_markdown, unverified_html
from ui.passage import Passage, read_passage

HOSTILE = '<img src=x onerror="alert(1)"><script>alert(1)</script>'


def cited(**changed: object) -> Citation:
    facts = {"marker": 1, "file_id": "f", "filename": "劳动法.txt", "quote": "劳动者", "start": 0, "end": 3}
    return Citation(**(facts | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("应当支付[1]。", r"应当支付[\[1\]](#a-1)。"),
        ("两处[1][2]", r"两处[\[1\]](#a-1)[\[2\]](#a-2)"),
        ("没有的[9]", "没有的[9]"),
        ("[1](https://example.org)", "[1](https://example.org)"),
        ("代码 `x[1]` 与\n```\ny[1]\n```\n", "代码 `x[1]` 与\n```\ny[1]\n```\n"),
        ("![图](https://evil.example/?q=1)", "[图](https://evil.example/?q=1)"),
        ("3~5年，10~15天", r"3\~5年，10\~15天"),
        ("~~删~~", "~~删~~"),
        ("from $80 to $90", r"from \$80 to \$90"),
    ],
)
def test_a_models_markdown(text: str, shown: str) -> None:
    assert model_markdown(text, "a", {1, 2}) == shown


def test_a_citation_shows_the_article_with_the_quoted_words_marked() -> None:
    citation = cited(law="劳动法", article="第三条", version="2018-12-29", page=4, verified=True)
    passage = Passage((("第三条　", False), ("劳动者", True), ("享有平等就业的权利", False)))
    html = citation_html(citation, passage, "a", Locale())
    assert (
        '<div class="px-article"><span>第三条　</span><mark>劳动者</mark><span>享有平等就业的权利</span></div>'
        in html
    )
    for fact in ("《劳动法》第三条", "劳动法.txt", "第 4 页", "2018-12-29 版本", "已核对", 'id="a-1"'):
        assert fact in html


def test_a_citation_without_its_article_shows_the_quote_and_says_so() -> None:
    html = citation_html(cited(note="attributed"), None, "a", Locale("en"))
    assert "<mark>劳动者</mark>" in html
    assert "cannot be read at the moment" in html
    assert "Unverified" in html
    assert "Source added by comparing" in html


def test_nothing_that_others_wrote_becomes_markup() -> None:
    citation = cited(
        law=HOSTILE, article=HOSTILE, filename=HOSTILE, quote=HOSTILE, version=HOSTILE, note=HOSTILE
    )
    html = citation_html(citation, Passage(((HOSTILE, True),)), "a", Locale())
    html += unverified_html([Unverified(HOSTILE, HOSTILE, HOSTILE)], Locale())
    assert "<img" not in html
    assert "<script" not in html


def test_only_web_links_are_offered() -> None:
    assert "href" not in citation_html(cited(url="javascript:alert(1)"), None, "a", Locale())
    assert 'href="https://praxis.example/x"' in citation_html(
        cited(url="https://praxis.example/x"), None, "a", Locale()
    )


def test_a_passage_is_read_from_the_page_for_people() -> None:
    page = "<title>原文</title><h1>劳动法</h1><main><p>第三条 &lt;甲&gt;</p><p>应当<mark>支付&amp;补偿</mark>。</p></main><p>页脚</p>"
    passage = read_passage(page)
    assert passage is not None
    assert passage.text == "第三条 <甲>\n应当支付&补偿。"
    assert [run for run, marked in passage.runs if marked] == ["支付&补偿"]
    assert read_passage("<h1>403</h1>") is None


def test_a_long_passage_is_cut_to_the_lines_around_the_quote() -> None:
    lines = [f"第{number}条　{'文' * 50}\n" for number in range(20)]
    passage = Passage((("".join(lines[:10]), False), ("引文\n", True), ("".join(lines[10:]), False)))
    before, quote, after = passage.excerpt(130).runs
    assert before == ("…" + "".join(lines[8:10]), False)
    assert quote == ("引文\n", True)
    assert after == (lines[10] + lines[11].rstrip() + "…", False)
    assert Passage((("短", False), ("引", True))).excerpt(130).text == "短引"
