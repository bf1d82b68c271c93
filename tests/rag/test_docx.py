"""Word documents: what a reader sees of them, numbers that stand in no text included."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rag.ingest import docx
from rag.ingest.chunking import chunks
from rag.ingest.document import Unreadable
from rag.ingest.numbering import write
from tests.rag import documents
from tests.rag.documents import numbering, paragraph, table

Read = Callable[..., str]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def run(*arguments: str, **others: str) -> str:
        path = tmp_path / "a.docx"
        path.write_bytes(documents.docx(*arguments, **others))
        return docx.read(path).text

    return run


def test_articles_that_word_numbers_are_articles(read: Read) -> None:
    levels = numbering(
        ("chineseCountingThousand", "第%1章"), ("chineseCountingThousand", "第%2条"), ("decimal", "（%3）")
    )
    body = paragraph("考勤管理办法")
    for chapter in ("总则", "休假"):
        body += paragraph(chapter, number=1)
        body += "".join(
            paragraph(f"本公司员工应当遵守考勤规定，{chapter}。", number=1, level=1) for _ in range(6)
        )
    body += paragraph("事假", number=1, level=2) + paragraph("病假", number=1, level=2)
    text = read(body, levels)
    assert text.startswith("考勤管理办法\n第一章 总则\n第一条 本公司员工")
    # Word begins the articles anew in each chapter unless it is told not to.
    assert "第二章 休假\n第一条 本公司" in text
    assert text.endswith("（1） 事假\n（2） 病假")
    found = [each for each in chunks(text, 400, len) if each.article]
    assert [each.article for each in found][:3] == ["第一条", "第二条", "第三条"]
    assert found[0].law == "考勤管理办法"


def test_lists_share_their_count_unless_one_begins_anew(read: Read) -> None:
    def body() -> str:
        return paragraph("甲", number=1) + paragraph("乙", number=2)

    assert read(body(), numbering(("decimal", "%1."), lists=2)) == "1. 甲\n2. 乙"
    assert read(body(), numbering(("decimal", "%1."), lists=2, restart=True)) == "1. 甲\n1. 乙"


def test_a_style_numbers_its_paragraphs_and_marks_headings(tmp_path: Path) -> None:
    styles = (
        '<w:style w:styleId="base"><w:name w:val="heading 2"/><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr>'
        '</w:style><w:style w:styleId="own"><w:name w:val="Mine"/><w:basedOn w:val="base"/></w:style>'
    )
    body = paragraph("标的", style="own") + paragraph("价款", style="own") + paragraph("正文")
    path = tmp_path / "a.docx"
    path.write_bytes(documents.docx(body, numbering(("upperRoman", "%1、")), styles))
    document = docx.read(path)
    assert document.text == "I、 标的\nII、 价款\n正文"
    assert [(document.text[at:].split("\n")[0], level) for at, level in document.headings] == [
        ("I、 标的", 2),
        ("II、 价款", 2),
    ]


def test_a_table_has_a_line_per_row_also_inside_a_cell(read: Read) -> None:
    assert read(table(("项目", "金额"), ("工资", "8000"))) == "项目 | 金额\n工资 | 8000"
    inner = f"<w:tbl><w:tr><w:tc>{paragraph('外')}{table(('内', '层'))}</w:tc></w:tr></w:tbl>"
    assert read(inner) == "外\n内 | 层"


def test_what_is_seen_is_read_and_what_is_not_is_not(read: Read) -> None:
    inserted = "<w:ins><w:r><w:t>插入</w:t></w:r></w:ins>"
    deleted = "<w:del><w:r><w:delText>删除</w:delText></w:r></w:del><w:moveFrom><w:r><w:t>移走</w:t></w:r></w:moveFrom>"
    hidden = "<w:r><w:rPr><w:vanish/></w:rPr><w:t>隐藏</w:t></w:r>"
    field = "<w:r><w:instrText>PAGE</w:instrText></w:r>"
    link = "<w:hyperlink><w:r><w:t>链接</w:t></w:r></w:hyperlink>"
    noted = '<w:r><w:footnoteReference w:id="2"/></w:r>'
    footnotes = (
        f'<w:footnotes {documents.WORD}><w:footnote w:type="separator" w:id="0">{paragraph("x")}</w:footnote>'
        f'<w:footnote w:id="2">{paragraph("脚注")}</w:footnote></w:footnotes>'
    )
    body = f"<w:sdt><w:sdtContent><w:p>{inserted}{deleted}{hidden}{field}{link}{noted}</w:p></w:sdtContent></w:sdt>"
    assert read(body, footnotes=footnotes) == "插入链接[2]\n[2] 脚注"


@pytest.mark.parametrize(
    ("value", "format", "written"),
    [
        (1260, "chineseCountingThousand", "一千二百六十"),
        (12, "chineseLegalSimplified", "壹拾贰"),
        (3, "ideographTraditional", "丙"),
        (20, "decimalEnclosedCircle", "⑳"),
        (28, "lowerLetter", "bb"),
        (1994, "upperRoman", "MCMXCIV"),
        (7, "decimalZero", "07"),
        (5, "none", ""),
        (5, "unheardOf", "5"),
    ],
)
def test_numbers_are_written_as_word_writes_them(value: int, format: str, written: str) -> None:  # noqa: A002
    assert write(value, format) == written


def test_a_bomb_is_refused_before_it_unfolds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docx, "MAX_PART", 1 << 20)
    path = tmp_path / "a.docx"
    path.write_bytes(documents.docx(paragraph("甲" * (1 << 20))))
    with pytest.raises(Unreadable, match="unfolds to"):
        docx.read(path)


def test_entities_do_not_unfold_and_nothing_outside_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("秘密", encoding="utf-8")
    unfolding = f'<!ENTITY a "{"a" * 1000}"><!ENTITY b "{"&a;" * 1000}"><!ENTITY c "{"&b;" * 1000}">'
    outside = f'<!ENTITY c SYSTEM "file://{tmp_path}/secret">'
    body = f"<w:document {documents.WORD}><w:body>{paragraph('甲 &c;')}</w:body></w:document>"
    path = tmp_path / "a.docx"
    for entities in (unfolding, outside):
        path.write_bytes(documents.docx("", document=f"<!DOCTYPE d [{entities}]>{body}"))
        with pytest.raises(Unreadable, match=r"entities|damaged"):
            docx.read(path)
