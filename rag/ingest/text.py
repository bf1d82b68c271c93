"""Bytes of a text file to text: the encodings met in China, and a question back where guessing would be needed."""

from __future__ import annotations

import codecs
import contextlib
import math
import re
from dataclasses import dataclass

from rag.ingest.document import Unreadable

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GUESSED = ("gb18030", "big5hkscs", "utf-16-le", "utf-16-be")
_WIDER = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "cp936": "gb18030",
    "big5": "big5hkscs",
    "cp950": "big5hkscs",
}
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_FOREIGN = re.compile(r"[^\x00-\x7f\u2000-\u206f\u3000-\u301f\uff00-\uffef]")
_NAME_IT = (
    "save it as UTF-8 and upload it again, or put it into the knowledge base with the attribute `encoding` "
    "(`gb18030`, `big5`, `utf-16` …)"
)

# The commonest characters of Chinese statutes, medical and everyday prose, simplified and traditional, and of the
# classics. Two thirds of any Chinese text are these; of bytes in another encoding read as Chinese, hardly a tenth.
_COMMON = frozenset(
    "的法一人有是以婚要方您不定可在民如行据离第和果者条子当十或应规产院问情律我女时关根同需为了请你血权理生病养对用因能压况议出发解后证进等高下经成他个中"
    "过其协治分疗么事年会夫好保并抚体典合物决于由意求家地名这二处到务上国药期三自共医作所起多依向相此前机否公来题具利千记食及得没无结商明也制双已外与还"
    "男建但想现实性照部重动该复次查父就四通原大母供间护件身口力六百八回案管责之本常任全心被使最直办而内七政受什亲益们则准户品再些工止主九按存都收细除员"
    "取服给去知说然认正先且长平状书两面几种只把那它很吗话日月"
    "據離條當應規產問時關為請權養對壓況議發後證進經箇個過協療麼會體決於這處務國藥醫來題記沒無結雙與還現實動該復間護責辦內親們則準戶員說認長狀書兩幾種"
    "子曰夫其也乎焉哉矣吾何乃若故兮君臣王天道"
)


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text, line ends as `\\n`, and the encoding that it was in."""

    text: str
    encoding: str


def decode(raw: bytes, encoding: str | None = None, declared: str | None = None) -> Decoded:
    """The text of `raw`, in `encoding` where the uploader names it; `declared` is what the file itself says, which
    counts only where the bytes do not say more clearly.

    Raises Unreadable when it is empty, binary, not in the named encoding, or in one that is not clear.
    """
    if not raw.strip(b" \t\r\n\x00"):
        raise Unreadable("invalid_file", "The file is empty; upload one that has text.")
    found = _named(raw, encoding) if encoding else _recognised(raw, declared)
    text = found.text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    if len(_CONTROL.findall(text)) > len(text) // 1000:
        raise Unreadable("unsupported_file", f"The file is binary data, not text; if it is text, {_NAME_IT}.")
    if not text.strip():
        raise Unreadable("invalid_file", "The file is empty; upload one that has text.")
    return Decoded(_CONTROL.sub(" ", text), found.encoding)


def known_encoding(name: str) -> str:
    """The encoding that the uploader's `name` means. Raises Unreadable for one that is none of text."""
    try:
        found = codecs.lookup(name.strip())
    except (LookupError, ValueError):
        found = None
    if found is None or not found._is_text_encoding:
        raise Unreadable(
            "invalid_file",
            f"The attribute `encoding` names `{name[:40]}`, which is no text encoding; name one such as `utf-8`, "
            "`gb18030`, `big5` or `utf-16`.",
        )
    return _WIDER.get(found.name, found.name)


def plain(encoding: str) -> str:
    """An encoding's name without the order of its bytes and whether it begins with a mark."""
    return re.sub(r"(utf-\d+).*", r"\1", encoding)


def chinese_share(text: str) -> float | None:
    """Which share of the characters beyond ASCII are common Chinese ones; None where there are too few to tell."""
    foreign = _FOREIGN.findall(text[:200_000])
    common = sum(each in _COMMON for each in foreign)
    # So many more than chance would give: a tenth, and twice its spread.
    if not foreign or common < 0.1 * len(foreign) + 2 * math.sqrt(0.09 * len(foreign)):
        return 0.0 if len(foreign) >= 30 else None
    return common / len(foreign)


def _named(raw: bytes, name: str) -> Decoded:
    encoding = known_encoding(name)
    for mark, marked in _MARKS:
        if raw.startswith(mark) and encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
            encoding = marked
    try:
        return Decoded(raw.decode(encoding), encoding)
    except UnicodeDecodeError as error:
        raise Unreadable(
            "invalid_file",
            f"The file is not in `{name}`, which its attribute `encoding` names (byte {error.start} does not fit); "
            "name another, or leave the attribute out.",
        ) from None


def _recognised(raw: bytes, declared: str | None) -> Decoded:
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            try:
                return Decoded(raw.decode(encoding), encoding)
            except UnicodeDecodeError:
                message = f"The file begins like {encoding.upper()} but is damaged; {_NAME_IT}."
                raise Unreadable("invalid_file", message) from None
    if b"\x00" in raw[:4096]:
        return _wide(raw)
    try:
        return Decoded(raw.decode(), "utf-8")
    except UnicodeDecodeError:
        pass
    if declared:
        with contextlib.suppress(Unreadable):
            return _named(raw, declared)
    return _guessed(raw, _GUESSED)


def _wide(raw: bytes) -> Decoded:
    """Text with zero bytes: UTF-16 without its mark, where they stand in one of two columns, or no text at all."""
    sample = raw[: 1 << 16]
    columns = sample[0::2].count(0), sample[1::2].count(0)
    for encoding, zeros, others in (("utf-16-le", columns[1], columns[0]), ("utf-16-be", *columns)):
        if zeros > 10 * others and zeros > len(sample) / 5:  # mostly ASCII
            try:
                return Decoded(raw.decode(encoding), encoding)
            except UnicodeDecodeError:
                break
    try:
        return _guessed(raw, ("utf-16-le", "utf-16-be"))
    except Unreadable:
        raise Unreadable(
            "unsupported_file", f"The file is binary data, not text; if it is text, {_NAME_IT}."
        ) from None


def _guessed(raw: bytes, encodings: tuple[str, ...]) -> Decoded:
    """The only reading of `raw` that is Chinese. Raises Unreadable where there is none, or another comes near it."""
    readings: list[tuple[float, Decoded]] = []
    for encoding in encodings:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not len(_CONTROL.findall(text)) > len(text) // 1000 and (share := chinese_share(text)):
            readings.append((share, Decoded(text, encoding)))
    readings.sort(key=lambda each: -each[0])
    if not readings or readings[0][0] < 0.3 or (len(readings) > 1 and readings[1][0] > readings[0][0] / 2):
        raise Unreadable("invalid_file", f"The file's text encoding is not clear; {_NAME_IT}.")
    return readings[0][1]
