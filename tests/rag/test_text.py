"""Text files in the encodings met in China, and a question back where guessing would be needed."""

import random

import pytest

from rag.ingest import text as reading
from rag.ingest.document import Unreadable
from tests.rag.conftest import LAWS, SAMPLES

SAMPLE = (
    "第一条 为了保护劳动者的合法权益，调整劳动关系，建立和维护适应社会主义市场经济的劳动制度，制定本法。\n"
)
TRADITIONAL = (
    "第一條 為了保護勞動者的合法權益，調整勞動關係，建立和維護適應社會主義市場經濟的勞動制度，制定本法。\n"
)


def decode(raw: bytes, encoding: str | None = None) -> str:
    return reading.decode(raw, encoding).text


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_encodings_are_recognised(encoding: str) -> None:
    assert decode(SAMPLE.encode(encoding)) == SAMPLE


@pytest.mark.parametrize("encoding", ["big5", "gb18030", "utf-16-le", "utf-16-be"])
def test_traditional_characters_are_recognised(encoding: str) -> None:
    assert decode(TRADITIONAL.encode(encoding)) == TRADITIONAL


def test_utf_16_of_mostly_latin_letters_is_recognised_without_its_mark() -> None:
    text = "Article 1. This Act protects workers.\n"
    for encoding in ("utf-16-le", "utf-16-be"):
        assert decode(text.encode(encoding)) == text


def test_no_piece_of_a_law_is_read_wrongly_in_any_encoding() -> None:
    """From fifteen characters on: read rightly nearly always, else asked about, and never garbled."""
    chance = random.Random(7)
    texts = [
        path.read_text(encoding="utf-8")
        for path in [*SAMPLES.glob("*.txt"), *sorted(LAWS.glob("*.txt"))[::20]]
    ]
    asked = total = 0
    for length in (15, 40, 200):
        for encoding in ("gb18030", "utf-16-le", "utf-16-be", "utf-8"):
            for _ in range(50):
                text = chance.choice(texts)
                at = chance.randrange(len(text) - length)
                piece = text[at : at + length].strip() or "法"
                total += 1
                try:
                    assert decode(piece.encode(encoding)) == piece
                except Unreadable:
                    asked += 1
    assert asked < total / 25


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (
            "대한민국의 모든 국민은 법 앞에 평등하다. 누구든지 성별 종교에 의하여 차별을 받지 아니한다.",
            "euc-kr",
        ),
        ("日本国民は、正当に選挙された国会における代表者を通じて行動し", "shift_jis"),
        ("日本国民は、正当に選挙された国会における代表者を通じて行動し", "euc-jp"),
        ("Les hommes naissent libres et égaux en droits, où que ce soit.", "latin-1"),
        ("Все люди рождаются свободными и равными", "koi8-r"),
        ("Все люди рождаются свободными и равными", "cp1251"),
    ],
)
def test_other_encodings_are_asked_about_and_read_when_named(text: str, encoding: str) -> None:
    with pytest.raises(Unreadable, match="attribute `encoding`") as caught:
        decode(text.encode(encoding))
    assert caught.value.code == "invalid_file"
    assert decode(text.encode(encoding), encoding) == text


def test_the_named_encoding_holds_and_a_wrong_or_unknown_name_is_told() -> None:
    assert decode("合同".encode("big5"), "Big5") == "合同"
    assert decode("\ufeff合同".encode("utf-16-le"), "utf-16-le") == "合同"
    with pytest.raises(Unreadable, match=r"not in `utf-8`.*byte 0"):
        decode("合同".encode("gb18030"), "utf-8")
    for name in ("klingon", "base64", "\x00"):
        with pytest.raises(Unreadable, match="no text encoding"):
            decode("合同".encode(), name)


def test_short_gb18030_is_not_garbled() -> None:
    assert decode("试用期工资是多少".encode("gb18030")) == "试用期工资是多少"


def test_line_ends_and_marks_are_made_one() -> None:
    assert decode("\ufeff甲\r\n乙\r丙".encode()) == "甲\n乙\n丙"


@pytest.mark.parametrize(
    ("raw", "code", "says"),
    [
        (b"", "invalid_file", "empty"),
        (b" \r\n\t ", "invalid_file", "empty"),
        (b"\x00\x00\x00\x00", "invalid_file", "empty"),
        (b"\xff\xfe\x00", "invalid_file", "UTF-8"),
        (bytes(range(128, 256)) * 20, "invalid_file", "UTF-8"),
        (b"\x00\x01\x02\x03" * 100, "unsupported_file", "binary"),
    ],
)
def test_what_is_no_text_is_refused_with_the_fix(raw: bytes, code: str, says: str) -> None:
    with pytest.raises(Unreadable, match=says) as caught:
        decode(raw)
    assert caught.value.code == code
