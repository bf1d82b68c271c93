"""Text files in the encodings met in China, and a question back where guessing would be needed."""

import pytest

from rag.ingest.document import Unreadable
from rag.ingest.text import decode

SAMPLE = (
    "第一条 为了保护劳动者的合法权益，调整劳动关系，建立和维护适应社会主义市场经济的劳动制度，制定本法。\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "utf-16", "utf-32"])
def test_encodings_are_recognised(encoding: str) -> None:
    assert decode(SAMPLE.encode(encoding)) == SAMPLE


def test_big5_is_recognised() -> None:
    text = (
        "第一條 為了保護勞動者的合法權益，調整勞動關係，建立和維護適應社會主義市場經濟的勞動制度，制定本法。\n"
        * 5
    )
    assert decode(text.encode("big5")) == text


def test_short_gb18030_is_not_garbled() -> None:
    assert decode("试用期工资是多少".encode("gb18030")) == "试用期工资是多少"


def test_line_ends_and_marks_are_made_one() -> None:
    assert decode("\ufeff甲\r\n乙\r丙".encode()) == "甲\n乙\n丙"


@pytest.mark.parametrize(
    ("raw", "code", "says"),
    [
        (b"", "invalid_file", "empty"),
        (b" \r\n\t ", "invalid_file", "empty"),
        (b"\xff\xfe\x00", "invalid_file", "UTF-8"),
        (bytes(range(128, 256)) * 20, "invalid_file", "UTF-8"),
        (b"\x00\x01\x02\x03" * 100, "unsupported_file", "binary"),
    ],
)
def test_what_is_no_text_is_refused_with_the_fix(raw: bytes, code: str, says: str) -> None:
    with pytest.raises(Unreadable, match=says) as caught:
        decode(raw)
    assert caught.value.code == code
