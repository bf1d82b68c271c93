"""Spreadsheets of questions as people have them, and as somebody means harm with."""

import io
import zipfile
from collections.abc import Sequence

import pytest
from openpyxl import Workbook

from ui import questions
from ui.questions import Unreadable, read

ASKED = ["加班费怎么算？", "试用期可以辞退吗？"]
TABLE = f"编号,问题,备注\n1,{ASKED[0]},a\n2,{ASKED[1]},\n"


def xlsx(*rows: Sequence[object]) -> bytes:
    book, content = Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(content)
    return content.getvalue()


def parts(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def refusal(content: bytes) -> str:
    with pytest.raises(Unreadable) as refused:
        read(content)
    return refused.value.reason


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_csv_is_read_however_it_was_saved(encoding: str, separator: str) -> None:
    sheet = read(TABLE.replace(",", separator).replace("\n", "\r\n").encode(encoding))
    assert sheet.columns == ("编号", "问题", "备注")
    assert sheet.likely == 1
    assert list(sheet.questions(1).asked) == ASKED


def test_an_xlsx_is_read_like_a_csv() -> None:
    sheet = read(xlsx([], ["编号", "Question", None], [1, ASKED[0]], [], [2.0, f" {ASKED[1]}\n"], [3, None]))
    assert (sheet.columns, sheet.likely) == (("编号", "Question"), 1)
    assert list(sheet.questions(1).asked) == ASKED
    assert sheet.questions(0).asked == ("1", "2", "3")


@pytest.mark.parametrize("name", ["问题", "Question", "instruction"])
def test_the_column_is_known_by_its_name(name: str) -> None:
    assert read(f"output,{name}\nx,y\n".encode()).likely == 1
    assert read(b"a,b\nx,y\n").likely is None


def test_a_lone_column_may_begin_with_a_question_at_once() -> None:
    sheet = read("\n".join(ASKED).encode())
    assert (sheet.likely, sheet.headed) == (0, False)
    assert list(sheet.questions(0, headed=sheet.headed).asked) == ASKED
    assert read(f"问题\n{ASKED[0]}".encode()).headed


def test_blanks_repetitions_and_what_is_too_long_are_left_out() -> None:
    long = "长" * (questions.LENGTH + 1)
    found = read(f"问题\n{ASKED[0]}\n\n{ASKED[0]}\n{long}\n  \n{ASKED[1]}\n".encode()).questions(0)
    assert (list(found.asked), found.repeated, found.too_long) == (ASKED, 1, 1)


def test_no_more_is_read_than_a_batch_may_have() -> None:
    rows = "\n".join(f"第{number}问？" for number in range(5 * questions.QUESTIONS))
    sheet = read(f"问题\n{rows}".encode())
    found = sheet.questions(0)
    assert sheet.cut
    assert len(found.asked) == questions.QUESTIONS
    assert found.asked[0] == "第0问？"


def test_quotes_and_line_breaks_stand_inside_a_cell() -> None:
    sheet = read('问题\n"他说""加班"",\n怎么办？"\n'.encode())
    assert sheet.questions(0).asked == ('他说"加班",\n怎么办？',)


def test_names_given_twice_or_not_at_all_are_told_apart() -> None:
    assert read("问题,问题,\na,b,c\n".encode()).columns == ("问题", "问题 (2)", "3")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b" \r\n\t", "empty"),
        (b",,\n,,\n", "empty"),
        ("问题,答案\n".encode(), "no_rows"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), "old_excel"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "no_table"),
        (b"MZ\x90\x00\x03", "no_table"),
        (b"\xff\xfe\x00", "encoding"),
        (b"\x80\x81\xff\xff\xff", "encoding"),
        (b"PK\x03\x04 and then nothing", "broken_xlsx"),
        (packed({"word/document.xml": b"<x/>"}), "no_table"),
        (packed({"xl/workbook.xml": b"<workbook", "[Content_Types].xml": b"<"}), "broken_xlsx"),
        (xlsx(), "empty"),
    ],
)
def test_what_is_no_table_says_why(content: bytes, reason: str) -> None:
    assert refusal(content) == reason


def test_a_file_that_is_too_large_is_not_looked_at() -> None:
    assert refusal(b"a" * (questions.FILE_LIMIT * 1_000_000 + 1)) == "too_large"


def test_a_bomb_is_not_unpacked() -> None:
    files = parts(xlsx(["问题"], ASKED[:1]))
    files["xl/media/picture.png"] = bytes(questions.UNPACKED * 1_000_000 + 1)
    content = packed(files)
    assert len(content) < 1_000_000
    assert refusal(content) == "bomb"


def test_entities_are_not_expanded() -> None:
    laughs = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    files = parts(xlsx(["问题"], ASKED[:1]))
    sheet = files["xl/worksheets/sheet1.xml"]
    files["xl/worksheets/sheet1.xml"] = laughs + sheet
    assert refusal(packed(files)) == "broken_xlsx"


def test_a_sheet_that_lies_about_its_size_is_read_as_it_is() -> None:
    files = parts(xlsx(["问题"], ASKED[:1], ASKED[1:]))
    sheet = files["xl/worksheets/sheet1.xml"]
    files["xl/worksheets/sheet1.xml"] = sheet.replace(b"A1:A3", b"A1:XFD1048576")
    assert list(read(packed(files)).questions(0).asked) == ASKED


def test_a_formula_is_not_computed() -> None:
    sheet = read(xlsx(["问题"], [ASKED[0]], ['=WEBSERVICE("https://evil.example")']))
    assert sheet.questions(0).asked == (ASKED[0],)


def test_a_row_far_down_ends_the_reading() -> None:
    files = parts(xlsx(["问题"], ASKED[:1], ASKED[1:]))
    sheet = files["xl/worksheets/sheet1.xml"]
    files["xl/worksheets/sheet1.xml"] = sheet.replace(b'r="3"', b'r="1048576"').replace(b"A3", b"A1048576")
    found = read(packed(files))
    assert found.cut
    assert list(found.questions(0).asked) == ASKED[:1]


@pytest.mark.parametrize("bound", ["MEMORY", "SECONDS"])
def test_a_workbook_that_takes_too_much_is_given_up(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = xlsx(["问题"], ASKED[:1])
    assert list(read(content).questions(0).asked) == ASKED[:1]
    monkeypatch.setattr(questions, bound, 20 if bound == "MEMORY" else 0)
    assert refusal(content) == "broken_xlsx"
