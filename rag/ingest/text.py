"""Bytes of a text file to text: the encodings met in China, and a question back where guessing would be needed."""

from __future__ import annotations

import codecs
import re

import charset_normalizer

from rag.ingest.document import Unreadable

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GUESSED = {"big5", "big5hkscs", "cp950", "utf_16", "utf_16_le", "utf_16_be"}
_HAN = re.compile(r"[\u3400-\u9fff]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_ASK = "save it as UTF-8 and upload it again"


def decode(raw: bytes) -> str:
    """The text of `raw`, line ends as `\\n`. Raises Unreadable when it is empty, binary or in an unknown encoding."""
    if not raw.strip():
        raise Unreadable("invalid_file", "The file is empty; upload one that has text.")
    text = _decoded(raw).replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    if len(_CONTROL.findall(text)) > len(text) // 1000:
        raise Unreadable("unsupported_file", f"The file is binary data, not text; if it is text, {_ASK}.")
    if not text.strip():
        raise Unreadable("invalid_file", "The file is empty; upload one that has text.")
    return _CONTROL.sub(" ", text)


def _decoded(raw: bytes) -> str:
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return _strict(raw, encoding, f"The file begins like {encoding.upper()} but is damaged; {_ASK}.")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        pass
    try:
        if _is_chinese(text := raw.decode("gb18030")):
            return text
    except UnicodeDecodeError:
        pass
    best = charset_normalizer.from_bytes(raw, cp_isolation=sorted(_GUESSED)).best()
    if best is not None and best.encoding in _GUESSED and _HAN.search(text := str(best)):
        return text
    raise Unreadable("invalid_file", f"The file's text encoding is not clear; {_ASK}.")


def _strict(raw: bytes, encoding: str, message: str) -> str:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        raise Unreadable("invalid_file", message) from None


def _is_chinese(text: str) -> bool:
    """Whether decoded GB18030 reads like Chinese: most of its characters are among the 3,755 common ones.

    Nearly any bytes decode as GB18030; those that are not come out as rare characters.
    """
    han = _HAN.findall(text[:20_000])
    common = sum(_is_common(each) for each in han)
    return bool(han) and common >= 0.7 * len(han)


def _is_common(char: str) -> bool:
    try:
        return 0xB0 <= char.encode("gb2312")[0] <= 0xD7
    except UnicodeEncodeError:
        return False
