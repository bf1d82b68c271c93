"""All that is on the screen as a file that another program opens."""

import csv
import io
from pathlib import Path

import docx
import pypdf
import pypdfium2
import pytest
from markdown_it import MarkdownIt
from openpyxl import load_workbook

from praxis.i18n import Locale
from tests.fakes.gateway import QUOTE, citation, uncited
from tests.ui.pictures import SIGNATURE, opened, png
from ui.client import Citation, Unverified, Usage
from ui.conversation import Choice, Side, Turn
from ui.export import fonts
from ui.export.docx import docx_of
from ui.export.markdown import markdown_of
from ui.export.pdf import pdf_of
from ui.export.report import Report, report_of
from ui.export.table import csv_of
from ui.export.workbook import xlsx_of
from ui.pictures import Picture, read
from ui.reply import Phase, Reply
from ui.votes import Contender, Vote

ZH, EN = Locale(), Locale("en")
QUESTION = "公司按基本工资算加班费，我能主张什么？"
LONG = "依照劳动合同约定的工资计算，" * 60
SAID = (
    "《中华人民共和国劳动法》第四十四条",
    QUOTE,
    "第九百条",
    "62.3",
    "300",
    "labour-law",
    "vs_1",
    "已停止",
)


def turn(*, blind: bool = False) -> Turn:
    grounded = Reply(
        grounded=True,
        phase=Phase.DONE,
        content=f"应当支付[1]。\n\n{LONG}https://example.org/{'a' * 200} 🙂 <b>粗</b>",
        citations=(Citation(**citation(page=3)),),
        unverified=(Unverified("劳动法", "第九百条", "第九十条"),),
        usage=Usage(20, 300),
        started=0.0,
        first=0.4,
        ended=5.2,
    )
    raw = Reply(phase=Phase.STOPPED, content="=看情况\x07\ufffe", started=0.0, first=0.2, ended=1.0)
    choices = {Side.GROUNDED: Choice("labour-law"), Side.RAW: Choice("qwen2.5-0.5b", ("vs_1",))}
    return Turn(QUESTION, choices, {Side.GROUNDED: grounded, Side.RAW: raw}, blind=blind)


@pytest.fixture
def report() -> Report:
    judged = turn()
    a, b = Contender("labour-law", "grounded"), Contender("qwen2.5-0.5b", "raw")
    judged.vote = Vote(QUESTION, "msg_1", 1, "a", a, b, ("incomplete",), "漏了周末", False, True)
    return report_of([judged, turn()], ZH)


def test_markdown_has_all_and_runs_nothing(report: Report) -> None:
    text = markdown_of(report, ZH).decode()
    for said in (QUESTION, "应当支付[1]", QUOTE, "第九百条", "漏了周末"):
        assert said in text, said
    assert "<b>" not in text
    assert text.count("## 问题") == 2


@pytest.mark.parametrize(
    "code", ["`if a < b && c > d`", "比较：\n\n```python\nif a < b:\n    print('<b>')\n```\n\n完"]
)
def test_signs_in_code_stay_as_they_are_in_markdown(code: str) -> None:
    assert code in exported(code)
    assert "&lt;u&gt;" in exported(f"{code}\n\n<u>")


@pytest.mark.parametrize(
    "text",
    [
        r"\`<img src=x onerror=alert(1)>\`",
        r"\`<img src=x>`<img src=x>`",
        "x ``` <img src=x>",
        "1. 甲\n   ```\n<img src=x>",
        "~~~\n```\n<b>\n~~~\n<img src=x>\n```",
        "甲 ` 乙\n`<img src=x>`",
        "| a | b |\n|---|---|\n| `x | <img src=x> ` |",
        "`a\n\n<img src=x>`",
    ],
)
def test_what_only_looks_like_code_is_escaped(text: str) -> None:
    shown = MarkdownIt("commonmark").enable("table").render(exported(text))
    assert "<img" not in shown
    assert "&lt;img" in shown


def exported(text: str) -> str:
    """An answer in the Markdown file."""
    said = turn()
    said.replies[Side.RAW].content = text
    return markdown_of(report_of([said], EN), EN).decode()


def test_a_word_document_has_both_answers_side_by_side(report: Report) -> None:
    document = docx.Document(io.BytesIO(docx_of(report, ZH)))
    cells = [cell.text for cell in document.tables[0].rows[0].cells]
    assert ["应当支付[1]。" in cells[0], "=看情况" in cells[1]] == [True, True]
    for said in SAID:
        assert said in "".join(cells), said
    assert len(document.tables) == 2
    assert any("漏了周末" in paragraph.text for paragraph in document.paragraphs)
    assert 'w:eastAsia="Microsoft YaHei"' in document.styles["Normal"].element.xml


def test_a_pdf_carries_its_font_and_its_chinese(report: Report) -> None:
    font = fonts.find()
    assert font, "install fonts-noto-cjk"
    content = pdf_of(report, ZH, font)
    text = pdf_text(content)
    for said in (*SAID, QUESTION, "漏了周末"):
        assert "".join(said.split()) in "".join(text.split()), said
    for page in pypdf.PdfReader(io.BytesIO(content)).pages:
        for held in page["/Resources"]["/Font"].values():
            (below,) = held.get_object()["/DescendantFonts"]
            described = below.get_object()["/FontDescriptor"].get_object()
            assert {"/FontFile2", "/FontFile3"} & set(described)


def test_a_table_has_a_row_for_each_answer(report: Report) -> None:
    rows = list(csv.reader(io.StringIO(csv_of(report, ZH).decode("utf-8-sig"), newline="")))
    assert len(rows) == 1 + 4
    assert rows[0][:4] == ["序号", "问题", "回答", "内容"]
    assert rows[1][1] == QUESTION
    assert rows[2][3].startswith("'=看情况")
    for said in SAID:
        assert any(said in cell for row in rows[1:3] for cell in row), said


@pytest.fixture
def pictured() -> Report:
    """One side sees pictures, of which the second is none: somebody kept it by the API."""
    asked = turn()
    asked.pictures = read("片子*1*.png", png()), Picture("坏.png", "image/png", SIGNATURE)
    asked.choices[Side.RAW] = Choice("qwen2.5-0.5b", ("vs_1",), images=4)
    return report_of([asked], ZH)


def test_every_file_names_the_pictures_and_who_did_not_see_them(pictured: Report) -> None:
    workbook = load_workbook(io.BytesIO(xlsx_of(pictured, ZH))).active
    texts = {
        "md": markdown_of(pictured, ZH).decode().replace("\\", ""),
        "csv": csv_of(pictured, ZH).decode(),
        "xlsx": "\n".join(str(cell) for row in workbook.values for cell in row),
        "docx": docx_text(docx_of(pictured, ZH)),
        "pdf": pdf_text(pdf_of(pictured, ZH, fonts.find() or pytest.fail("install fonts-noto-cjk"))),
    }
    for name, text in texts.items():
        said = "".join(text.split())
        assert "附图：片子*1*.png(" in said, name
        assert "坏.png(8B)" in said, name
        assert said.count("本栏的模型不能看图") == 1, name
    assert "](data:" not in texts["md"]


def test_documents_hold_the_pictures_themselves(pictured: Report) -> None:
    document = docx.Document(io.BytesIO(docx_of(pictured, ZH)))
    (shape,) = document.inline_shapes
    assert abs(shape.width / shape.height - 1.6) < 0.01
    (held,) = [part for part in document.part.package.iter_parts() if "/media/" in part.partname]
    with opened(held.blob) as seen:
        assert seen.size == (320, 200)
    font = fonts.find()
    assert font
    reader = pypdf.PdfReader(io.BytesIO(pdf_of(pictured, ZH, font)))
    (image,) = [image for page in reader.pages for image in page.images]
    assert image.image is not None
    assert image.image.size == (320, 200)


def docx_text(content: bytes) -> str:
    document = docx.Document(io.BytesIO(content))
    cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    return "\n".join([*(paragraph.text for paragraph in document.paragraphs), *cells])


def pdf_text(content: bytes) -> str:
    with pypdfium2.PdfDocument(content) as document:
        return "".join(page.get_textpage().get_text_range() for page in document)


def test_a_blind_turn_stays_blind_in_every_file() -> None:
    report = report_of([turn(blind=True)], EN)
    text = markdown_of(report, EN).decode() + csv_of(report, EN).decode()
    assert "Answer A" in text
    for secret in ("labour-law", "qwen2", "Grounded", "劳动法", "first token"):
        assert secret not in text, secret


def test_a_machine_without_a_font_has_none(tmp_path: Path) -> None:
    assert fonts.find([tmp_path, tmp_path / "absent"]) is None
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "wqy-zenhei.ttc").touch()
    found = fonts.find([tmp_path])
    assert found == fonts.Font(tmp_path / "deep" / "wqy-zenhei.ttc")


def test_what_was_found_beside_an_answer_without_sources_is_named() -> None:
    said = turn()
    said.replies[Side.GROUNDED] = Reply(
        grounded=True, phase=Phase.DONE, content="1", uncited=(Citation(**uncited()),), ended=1.0
    )
    text = markdown_of(report_of([said], EN), EN).decode()
    assert "Do not rely on it" in text
    assert "Nearest to the question in the documents" in text
    assert "中华人民共和国劳动法, 第四十四条" in text
