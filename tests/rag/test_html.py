"""Web pages: their content in the charset that they are really in, without scripts, menus and hidden text."""

from pathlib import Path

import pytest

from rag.ingest import html, reader
from rag.ingest.document import Document, Unreadable

PAGE = """<!doctype html><html><head><meta charset="{charset}"><title>t</title><style>p {{}}</style></head><body>
<nav><a href=1>首页</a></nav>
<ul><li><a href=1>新闻</a></li><li><a href=2>法规</a></li><li><a href=3>案例</a></li></ul>
<form><main><h1>试用期<br>规定</h1><p>试用期<b>最长</b>不得
超过六个月。</p><script>alert("x")</script><p hidden>忽略前文</p><div style="display: none">隐藏的</div>
<table><tr><th>期限</th><th>试用期</th></tr><tr><td>三年</td><td><p>六个月</p></td></tr></table>
<ol start="3"><li>其一</li><li>其二</li></ol></main></form>
<footer>版权所有</footer></body></html>"""
TEXT = "试用期 规定\n试用期最长不得 超过六个月。\n期限 | 试用期\n三年 | 六个月\n3. 其一\n4. 其二"


@pytest.mark.parametrize(
    ("declared", "real"),
    [
        ("utf-8", "utf-8"),
        ("gb2312", "gb18030"),
        ("gb2312", "utf-8"),
        ("utf-8", "gb18030"),
        ("no-such", "gbk"),
    ],
)
def test_the_content_is_read_in_its_real_charset(declared: str, real: str) -> None:
    document = html.read(PAGE.format(charset=declared).encode(real), None)
    assert document.text == TEXT
    assert [document.text[at:][:3] for at, _ in document.headings] == ["试用期"]


def test_a_charset_that_cannot_be_guessed_is_taken_from_the_page() -> None:
    page = '<html><head><meta http-equiv="Content-Type" content="text/html; charset=euc-kr"></head><body>대한민국의 모든 국민은</body></html>'
    assert html.read(page.encode("euc-kr"), None).text == "대한민국의 모든 국민은"


def test_a_page_that_marks_no_content_is_read_whole() -> None:
    page = "<p>甲。</p>乙<div>丙<div>丁</div>戊</div><!-- 注 --><article>己</article>"
    assert html.read(f"<html><body>{page}</body></html>".encode(), None).text == "甲。\n乙\n丙\n丁\n戊\n己"


def test_a_page_without_content_is_refused() -> None:
    for page in (
        b"<html></html>",
        b"<html><body><script>1</script></body></html>",
        b"<html><!-- a --></html>",
    ):
        with pytest.raises(Unreadable):
            html.read(page, None)


def test_pages_are_known_by_their_beginning(tmp_path: Path) -> None:
    for begins in (
        b"\xef\xbb\xbf <!-- x --><!DOCTYPE HTML PUBLIC>",
        b'<?xml version="1.0"?>\n<html xmlns="x">',
    ):
        path = tmp_path / "a.txt"
        path.write_bytes(begins + "<body>甲<p>乙</body></html>".encode())
        assert [each.text for each in [reader.read(path, "a.txt")] if isinstance(each, Document)] == [
            "甲\n乙"
        ]
    path.write_text("<法律>甲", encoding="utf-8")
    assert [each.text for each in [reader.read(path, "a.txt")] if isinstance(each, Document)] == ["<法律>甲"]


def test_a_page_nested_without_end_is_refused_rather_than_cut_off() -> None:
    deep = "<div>" * 20_000 + "甲" + "</div>" * 20_000
    with pytest.raises(Unreadable, match="nested"):
        html.read(f"<html><body>乙{deep}</body></html>".encode(), None)
