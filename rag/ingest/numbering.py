"""The numbers that Word writes before paragraphs: they stand in no text, only in `numbering.xml`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from lxml.etree import _Element

from rag.answer.statutes import write_numeral

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_DEEPEST = 9
_STEMS = "甲乙丙丁戊己庚辛壬癸"
_BRANCHES = "子丑寅卯辰巳午未申酉戌亥"
_FORMAL = str.maketrans("一二三四五六七八九十百千", "壹贰叁肆伍陆柒捌玖拾佰仟")
_ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"))
_SMALL_ROMAN = ((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))


@dataclass(frozen=True, slots=True)
class _Level:
    start: int = 1
    format: str = "decimal"
    text: str = ""
    suffix: str = " "
    legal: bool = False  # the numbers of the levels above are written as digits


class Numbering:
    """Counts a document's numbered paragraphs as Word does. Ask for each paragraph once, in order."""

    def __init__(self, numbering: _Element | None) -> None:
        self._abstract: dict[str, dict[int, _Level]] = {}
        self._styled: dict[str, dict[str, int]] = {}  # by style name, the level that is its own
        self._of: dict[str, str] = {}
        self._overrides: dict[str, dict[int, int]] = {}
        self._counts: dict[str, dict[int, int]] = {}
        if numbering is not None:
            self._read(numbering)

    def label(self, number: str, level: int | None, style: str | None) -> str:
        """The label of the next paragraph of list `number`, with the space that sets it off."""
        abstract = self._of.get(number, "")
        levels = self._abstract.get(abstract)
        if not levels:
            return ""
        if level is None:
            level = self._styled[abstract].get(style or "", 0)
        level = min(max(level, 0), _DEEPEST - 1)
        own = levels.get(level, _Level())
        counts = self._counts.setdefault(abstract, {})
        # A list that starts anew does so once, at its first paragraph of that level.
        if (first := self._overrides.get(number, {}).pop(level, None)) is not None:
            counts[level] = first
        else:
            counts[level] = counts.get(level, own.start - 1) + 1
        for deeper in [each for each in counts if each > level]:
            del counts[deeper]
        if own.format == "bullet":
            return "• "

        def value(found: re.Match[str]) -> str:
            at = int(found[1]) - 1
            there = levels.get(at, _Level())
            return write(counts.get(at, there.start), "decimal" if own.legal and at < level else there.format)

        label = re.sub(r"%([1-9])", value, own.text)
        return label + own.suffix if label.strip() else ""

    def _read(self, numbering: _Element) -> None:
        for each in numbering.iterfind(f"{W}abstractNum"):
            name = each.get(f"{W}abstractNumId", "")
            self._abstract[name] = {}
            self._styled[name] = {}
            for level in each.iterfind(f"{W}lvl"):
                at = _integer(level.get(f"{W}ilvl"), 0)
                self._abstract[name][at] = _level(level)
                if style := _value(level, "pStyle"):
                    self._styled[name][style] = at
        for each in numbering.iterfind(f"{W}num"):
            number = each.get(f"{W}numId", "")
            self._of[number] = _value(each, "abstractNumId") or ""
            for override in each.iterfind(f"{W}lvlOverride"):
                if (start := _value(override, "startOverride")) is not None:
                    at = _integer(override.get(f"{W}ilvl"), 0)
                    self._overrides.setdefault(number, {})[at] = _integer(start, 1)


def _level(element: _Element) -> _Level:
    legal = element.find(f"{W}isLgl")
    return _Level(
        _integer(_value(element, "start"), 1),
        _value(element, "numFmt") or "decimal",
        (_value(element, "lvlText") or "")[:100],
        "" if _value(element, "suff") == "nothing" else " ",
        legal is not None and legal.get(f"{W}val") not in ("0", "false"),
    )


def _value(element: _Element, name: str) -> str | None:
    child = element.find(f"{W}{name}")
    return None if child is None else child.get(f"{W}val")


def _integer(text: str | None, default: int) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 8 else default


def write(value: int, format: str) -> str:  # noqa: A002 - Word's name for it
    """`value` as Word writes it in one of its number formats; an unknown format counts in digits."""
    if value < 1 or value > 9_999:
        return "" if format == "none" else str(value)
    writer = _FORMATS.get(format)
    return writer(value) if writer else str(value)


def _letters(value: int) -> str:
    # Word goes on with AA, BB after Z.
    return chr(97 + (value - 1) % 26) * ((value - 1) // 26 + 1)


def _formal(value: int) -> str:
    return ("一" * (10 <= value < 20) + write_numeral(value)).translate(_FORMAL)


def _roman(value: int) -> str:
    written = ""
    for unit, name in (*_ROMAN, *_SMALL_ROMAN):
        written += name * (value // unit)
        value %= unit
    return written


def _circled(value: int) -> str:
    return chr(0x245F + value) if value <= 20 else str(value)


_FORMATS: dict[str, Callable[[int], str]] = {
    "none": lambda _: "",
    "decimalZero": lambda value: f"{value:02d}",
    "decimalFullWidth": lambda value: "".join(chr(ord(each) + 0xFEE0) for each in str(value)),
    "decimalEnclosedCircle": _circled,
    "decimalEnclosedCircleChinese": _circled,
    "decimalEnclosedParen": lambda value: f"({value})",
    "decimalEnclosedFullstop": lambda value: f"{value}.",
    "upperLetter": lambda value: _letters(value).upper(),
    "lowerLetter": _letters,
    "upperRoman": lambda value: _roman(value).upper(),
    "lowerRoman": _roman,
    "ideographTraditional": lambda value: _STEMS[(value - 1) % 10],
    "ideographZodiac": lambda value: _BRANCHES[(value - 1) % 12],
    "ideographDigital": lambda value: "".join("〇一二三四五六七八九"[int(each)] for each in str(value)),
    "chineseLegalSimplified": _formal,
    "ideographLegalTraditional": _formal,
} | dict.fromkeys(
    (
        "chineseCounting",
        "chineseCountingThousand",
        "taiwaneseCounting",
        "taiwaneseCountingThousand",
        "japaneseCounting",
        "japaneseDigitalTenThousand",
        "koreanDigital",
    ),
    write_numeral,
)
