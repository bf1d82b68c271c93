"""Laws, articles and quantities as prose names them: 《劳动法》第四十四条, 第44条, Article 44, 百分之三百.

Chinese and Arabic numerals are read alike, so that a text and its source can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_UNITS = {"十": 10, "百": 100, "千": 1000}
_MYRIADS = {"万": 10_000, "亿": 100_000_000}
_FULL_WIDTH = str.maketrans("０１２３４５６７８９．％", "0123456789.%")

_NUMERAL = r"[0-9０-９零〇一二两三四五六七八九十百千]{1,9}"
_ARTICLE = rf"第\s?(?P<number>{_NUMERAL})\s?条(?:\s?之\s?(?P<sub>[一二三四五六七八九十]{{1,3}}))?"
_LAW_ENDING = r"(?:法典|法|条例|规定|办法|解释|细则|规则|章程)"
_BOOK = r"(?<=法典)[一-鿿]{1,4}编"
_REFERENCE = re.compile(
    rf"《(?P<titled>[^《》\n]{{2,60}})》(?:\s?[（(][^（）()\n]{{0,30}}[）)])?(?:\s?的?\s?{_ARTICLE})?"
    rf"|(?P<bare>[一-鿿·]{{0,24}}{_LAW_ENDING}(?:{_BOOK})?)?{_ARTICLE.replace('number', 'number2').replace('sub', 'sub2')}"
    r"|\bArt(?:icle|\.)\s?(?P<english>\d{1,4})(?:\s+of\s+(?:the\s+)?(?P<act>[A-Z][\w' ]{2,60}?(?:Law|Act|Code|Regulations?)))?"
)
_LEAST_PART = 3
_IS_LAW = re.compile(rf"{_LAW_ENDING}$")
_LEAD_IN = re.compile(
    r"根据|依据|依照|按照|参照|违反|适用|规定的|以及|同时|其中|包括|属于|符合|见|和|与|及|或|的|是|在|了|由|即|如|按"
)
_BARE_NUMBER = re.compile(r"(?<![第\d０-９])([\d０-９]{1,4})\s*条")
_BEFORE_NUMBER = re.compile(r"(?<=[一-鿿》])\s+(?=第)")
_POINTS_BACK = re.compile(
    r"^(?:本|该|此|上述|前述|同|这部|那部|有关|相关|其他|法律|下列)?" + _LAW_ENDING + "$"
)

_UNIT = r"(?:个?小时|个?工作日|分钟|日|天|周|个?月|年|元|倍|岁|人|名|次|件|％|%)"
_QUANTITY = re.compile(
    rf"百分之(?P<percent>[0-9零〇一二两三四五六七八九十百千点.]+)"
    rf"|(?P<arabic>\d[\d,]*(?:\.\d+)?)\s?(?P<scale>[万亿])?(?P<sign>%)?"
    rf"|(?P<han>[零〇一二两三四五六七八九十百千万亿]+)(?P<unit>{_UNIT})"
)
_COUNTED = re.compile(rf"\s?({_UNIT})")
_SAME_UNITS = {"％": "倍", "%": "倍", "天": "日", "名": "人"}
_REACH = r"[^，,。；;、：:\n]{0,6}$"  # 不低于工资的百分之八十
_BOUND_BEFORE = re.compile(
    rf"(?:(?P<no>[不未])[得能应可以]{{0,2}})?(?:(?P<more>超过|超出|高于|多于|大于|满)|(?P<less>低于|少于|小于)){_REACH}"
    rf"|(?P<least>至少|最少|最低){_REACH}|(?P<most>不足|至多|最多|最高){_REACH}"
)
_BOUND_LENGTH = 16  # characters before a figure in which its bound may stand
_BOUND_AFTER = re.compile(r"(?:及|或者)?(?:(?P<least>以上)|(?P<most>以下|以内|之内))")
_ANY_HAN = re.compile(r"[零〇一二两三四五六七八九十百千万亿]+")
_ORDINAL = re.compile(
    rf"第\s?{_NUMERAL}|^\s*[（(]?\d{{1,2}}[）).、．](?!\d)|[（(][一二三四五六七八九十]{{1,3}}[）)]", re.M
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A law, an article, or both, named in prose. A bare article carries the law named last before it, if any."""

    law: str | None
    article: str | None  # canonical: 第四十四条, 第一百二十条之一
    own_law: bool  # the law is written with it, not inherited


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount in prose: 150%, 百分之一百五十 and 1.5倍 are all 1.5 倍, 八小时 and 8个小时 both 8 小时.

    Ordinals and article numbers are none. `unit` is None where no unit is written, or one that is not known; `bound` says
    whether it is the least or the most that may be (不低于, 以上; 不得超过, 不满), or None where neither is written.
    """

    value: float
    unit: str | None
    bound: Literal["least", "most"] | None
    written: str

    @property
    def key(self) -> str:
        """What it is known by among words, none of which begins like it."""
        return f"#{self.value:g}{self.unit or ''}"


def read_numeral(text: str) -> int | None:
    """The value of a Chinese or Arabic integer such as 一千二百六十, 十二, 一九九四 or 44; None if it is none."""
    text = text.translate(_FULL_WIDTH).replace(",", "")
    if text.isascii():
        return int(text) if text.isdigit() else None
    if all(char in _DIGITS for char in text) and len(text) > 1:
        return int("".join(str(_DIGITS[char]) for char in text))
    total, section, digit = 0, 0, 0
    for char in text:
        if char in _DIGITS:
            digit = _DIGITS[char]
        elif char in _UNITS:
            section += (digit or 1) * _UNITS[char]
            digit = 0
        elif char in _MYRIADS:
            total = (total + section + digit) * _MYRIADS[char]
            section = digit = 0
        elif char.isdigit():
            digit = digit * 10 + int(char)
        else:
            return None
    return total + section + digit


def write_numeral(value: int) -> str:
    """The Chinese form that statutes use for article numbers: 44 is 四十四, 1260 is 一千二百六十."""
    parts: list[str] = []
    gap = False
    for unit, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = value // unit % 10
        if digit:
            parts += ["零"] * (gap and bool(parts)) + ["零一二三四五六七八九"[digit] + name]
        gap = not digit
    text = "".join(parts) or "零"
    return text.removeprefix("一") if text.startswith("一十") else text


def canonical_article(text: str) -> str:
    """第44条, 第 44 条 and Article 44 as 第四十四条; what is no article comes back as it is."""
    if (found := re.search(_ARTICLE, text)) and (value := read_numeral(found["number"])) is not None:
        return _article(value, found["sub"])
    if found := re.search(r"\bArt(?:icle|\.)\s?(\d{1,4})", text):
        return _article(int(found[1]), None)
    return text


def spellings(article: str) -> list[str]:
    """How sources may write the article whose canonical name is `article`: 第六条, Article 6."""
    found = re.fullmatch(r"第(.+)条", article)
    value = read_numeral(found[1]) if found else None
    return [article] if value is None else [article, f"Article {value}"]


def preceding(article: str, count: int) -> list[str]:
    """The `count` articles before the one whose canonical name is `article`, nearest first, as far as numbers tell."""
    found = re.fullmatch(r"第(.+)条(?:之(.+))?", article)
    value = read_numeral(found[1]) if found else None
    if found is None or value is None:
        return []
    sub = read_numeral(found[2]) or 0 if found[2] else 0
    before = [_article(value, write_numeral(each) if each else None) for each in range(sub - 1, -1, -1)]
    before += [_article(each, None) for each in range(value - 1, 0, -1)]
    return before[:count]


def _article(value: int, sub: str | None) -> str:
    return f"第{write_numeral(value)}条" + (f"之{sub}" if sub else "")


def short_name(law: str) -> str:
    """A law's name without title marks, edition and state: 《中华人民共和国劳动法》（2018修正） is 劳动法."""
    name = re.sub(r"[（(][^（）()]*[）)]|[《》〈〉\s]", "", law)
    return name.removeprefix("中华人民共和国") or name


def same_law(one: str, other: str) -> bool:
    """Whether two names mean one law; a code names each of its books (民法典, 民法典·合同编)."""
    a, b = short_name(one), short_name(other)
    return a == b or a.startswith(f"{b}·") or b.startswith(f"{a}·")


def known_law(text: str, laws: Iterable[str]) -> str | None:
    """The one of `laws` whose name, or short form of it, `text` ends with; None where there is none or more than one.

    A short form leaves out characters but the first and the kind (劳合法, 民诉法, 道交法); of a judicial interpretation,
    whose name begins with who made it, any part of the name with the kind will do (担保制度解释), or the law that it is on
    (民诉法解释).
    """
    text = re.sub(f"{_BOOK}$", "", text.strip("《》"))
    known = sorted(set(laws))
    for start in range(len(text) - 1):
        tail = text[start:]
        found = [law for law in known if short_name(law) == tail] or [
            law for law in known if _abbreviates(tail, law)
        ]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _abbreviates(short: str, law: str) -> bool:
    name = short_name(law)
    kind, own = _IS_LAW.search(short), _IS_LAW.search(name)
    if not kind or not own or kind[0] != own[0] or kind.start() < 1:
        return False
    start = short[: kind.start()]
    if "关于" in name:
        about = re.search(r"《([^《》]+)》", law)
        return (len(start) >= _LEAST_PART and start in name) or bool(about and _abbreviates(start, about[1]))
    letters = iter(name[: own.start()])
    return start[0] == name[0] and all(char in letters for char in start)


def references(text: str, known_laws: Iterable[str] = (), law: str | None = None) -> list[Reference]:
    """Every law and article that `text` names, in order, once each.

    `known_laws` helps to find where an unmarked name begins (根据劳动法第四十四条); `law` is the one named last
    before `text`.
    """
    known = sorted({short_name(law) for law in known_laws}, key=len, reverse=True)
    found: dict[Reference, None] = {}
    current = law
    for match in _REFERENCE.finditer(text):
        number = match["number"] or match["number2"] or match["english"]
        value = read_numeral(number) if number else None
        article = _article(value, match["sub"] or match["sub2"]) if value is not None else None
        named = (
            match["titled"] or match["act"] or (_unmarked(match["bare"], known) if match["bare"] else None)
        )
        if match["titled"] and not article and not _IS_LAW.search(short_name(match["titled"])):
            continue  # 《员工手册》 is a document, not a law
        current = named or current
        if named or article:
            found[Reference(current, article, own_law=named is not None)] = None
    return list(found)


def looked_up(question: str, known_laws: Iterable[str] = ()) -> list[Reference]:
    """`references` of a question, which may name an article as people type it: 民法典 1260 条, 劳动法44条."""
    plain = _BEFORE_NUMBER.sub("", _BARE_NUMBER.sub(r"第\1条", question))
    return references(plain, known_laws)


def _unmarked(text: str, known: list[str]) -> str | None:
    """The law's name at the end of `text`, which may begin in mid-sentence; None for 本法, 该条例 and the like."""
    for name in known:
        if text.endswith(name):
            return name
    name = _LEAD_IN.split(text)[-1]
    return None if not name or _POINTS_BACK.match(name) else name


def without_references(text: str) -> str:
    """`text` without the laws and articles that it names: what is left is what it says."""
    return _REFERENCE.sub(" ", text)


def quantities(text: str, *, every: bool = False) -> dict[float, str]:
    """The amounts that `text` states, each with how it is written there (see `Quantity`).

    `every` adds numerals without a unit, for the side that is searched.
    """
    plain = _without_ordinals(text)
    values: dict[float, str] = {}
    for each in _stated(plain):
        values.setdefault(each.value, each.written)
    for bare in _ANY_HAN.findall(plain) if every else ():
        if (whole := read_numeral(bare)) is not None:
            values.setdefault(float(whole), bare)
    return values


def stated(text: str) -> list[Quantity]:
    """The amounts that `text` states, in order, each as often as it stands there."""
    return list(_stated(_without_ordinals(text)))


def _without_ordinals(text: str) -> str:
    return _ORDINAL.sub(" ", without_references(text.translate(_FULL_WIDTH)))


def _stated(plain: str) -> Iterator[Quantity]:
    for match in _QUANTITY.finditer(plain):
        if (value := _value(match)) is not None:
            counted = None if match["unit"] else _COUNTED.match(plain, match.end())
            end = counted.end() if counted else match.end()
            unit = match["unit"] or (counted[1] if counted else None)
            unit = "%" if match["percent"] or match["sign"] else unit
            yield Quantity(
                round(value, 6), _same_unit(unit), _bound(plain[: match.start()], plain[end:]), match[0]
            )


def _same_unit(unit: str | None) -> str | None:
    plain = unit.removeprefix("个") if unit else None
    return _SAME_UNITS.get(plain, plain) if plain else None


def _bound(before: str, after: str) -> Literal["least", "most"] | None:
    if found := _BOUND_AFTER.match(after):
        return "least" if found["least"] else "most"
    found = _BOUND_BEFORE.search(before[-_BOUND_LENGTH:])
    if found is None:
        return None
    if found["more"] or found["less"]:
        return "least" if bool(found["more"]) is not bool(found["no"]) else "most"
    return "least" if found["least"] else "most"


def _value(match: re.Match[str]) -> float | None:
    if match["percent"]:
        percent = _decimal(match["percent"])
        return None if percent is None else percent / 100
    if match["arabic"]:
        value = float(match["arabic"].replace(",", "")) * _MYRIADS.get(match["scale"] or "", 1)
        return value / 100 if match["sign"] else value
    return read_numeral(match["han"])


def _decimal(text: str) -> float | None:
    whole, _, fraction = text.replace(".", "点").partition("点")
    value = read_numeral(whole)
    if value is None or not fraction:
        return value
    digits = "".join(str(_DIGITS.get(char, char)) for char in fraction)
    return float(f"{value}.{digits}") if digits.isdigit() else value
