"""Judgments, contracts, guidelines, papers: split at the headings that they have, small sections kept together."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rag.ingest.document import Chunk
from rag.ingest.prose import Count, overlapping, pack, trim

_NUMERAL = "[一二三四五六七八九十百]{1,4}"
_TITLE = r"[^\n。；;！？!?]{0,60}(?<![，,：:])"
# Each line that may be a heading, by family; which family stands below which shows in each text by what comes first.
_LINES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("章", re.compile(rf"第{_NUMERAL}(?:编|篇|部分|章)(?![的、，和]){_TITLE}")),
    ("节", re.compile(rf"第{_NUMERAL}节(?![的、，和]){_TITLE}")),
    ("章", re.compile(r"(?:附件|附录|附表)[一二三四五六七八九十\d：: ]" + _TITLE)),
    ("、", re.compile(rf"{_NUMERAL}、{_TITLE}")),
    ("（", re.compile(rf"[（(]{_NUMERAL}[）)](?!项|款){_TITLE}")),
    (
        "named",
        re.compile(
            r"[【\[]?(?:(?:中文)?摘\s*要|关键词|引\s*言|前\s*言|绪\s*论|背\s*景|目\s*的|方\s*法|(?:材料|资料|对象)与方法|结\s*果|讨\s*论|结\s*论|"
            r"参考文献|致\s*谢|推荐意见|证据概述|诊断标准|治疗原则)[】\]]?\s*[：:]?"
        ),
    ),
    (
        "named",
        re.compile(
            r"(?i:abstract|key ?words|introduction|background|(?:materials|patients) and methods|methods|results|discussion|"
            r"conclusions?|references|acknowledge?ments?|appendix)\s*:?"
        ),
    ),
    ("capitals", re.compile(r"[A-Z][A-Z0-9 ,&'()/-]{3,70}(?<=[A-Z)])")),
)
_MARKDOWN = re.compile(r"(?P<marks>#{1,6})[ \t]+\S")
_DECIMAL = re.compile(
    r"(?P<number>\d{1,2}(?:\.\d{1,2}){0,4})(?P<dot>[.、．]?)(?P<gap>[ \t\u3000]*)(?=[^\d\s.,%])"
    + _TITLE
    + r"(?<!\.)"
)
# A judgment's parts begin with a formula rather than with a heading of their own.
_FORMULA = re.compile(
    r"(?:[^\n，。：]{0,30}(?:诉称|辩称|述称|上诉请求|诉讼请求|申请再审称)|事实[和与]理由|(?:经|另|二审|再审){0,3}审理查明|[^\n，。：]{0,8}法院(?:经审理)?(?:认定|认为|查明)(?:事实)?(?:如下)?|"
    r"本院(?:经[^\n，。：]{0,8})?(?:认为|查明|认定)|[^\n。]{0,80}(?:判决|裁定|决定|调解协议)如下|综上所述|裁判(?:要旨|要点|理由|结果)|基本案情|典型意义)(?=[：:，,]|$)"
)


_Name = tuple[str, int, str]
"""A heading's family, its level within that, and what it says."""


@dataclass(frozen=True, slots=True)
class _Section:
    """A heading and what stands below it, up to the next; the first may have no heading."""

    start: int
    end: int
    path: tuple[str, ...]
    body: int  # where what stands below the heading begins


def sections(text: str, marked: Sequence[tuple[int, int]]) -> list[_Section]:
    """The sections of `text`; `marked` are the headings, offset and level, that its format tells."""
    headings = _headings(text, dict(marked))
    bounds = [*(at for at, _, _ in headings), len(text)]
    found = [_Section(0, bounds[0], (), 0)] if text[: bounds[0]].strip() else []
    path: list[tuple[str, int, str]] = []
    for (start, (family, level, name), body), end in zip(headings, bounds[1:], strict=True):
        path = [*_above(path, family, level), (family, level, name)]
        found.append(_Section(start, end, tuple(each for _, _, each in path), body))
    return found


def _above(path: list[tuple[str, int, str]], family: str, level: int) -> list[tuple[str, int, str]]:
    """The headings of `path` below which one of this family and level stands: those down to the last of its family
    that is higher, or, where its family is new, all."""
    own = [at for at, each in enumerate(path) if each[0] == family]
    if not own:
        return path
    higher = [at for at in own if path[at][1] < level]
    return path[: higher[-1] + 1] if higher else path[: own[0]]


def split(text: str, found: Sequence[_Section], limit: int, overlap: int, count: Count) -> Iterator[Chunk]:
    """The chunks of a text with these sections, none of more than `limit` tokens; those of one section share up to
    `overlap` tokens. A section so small that it would say little by itself stays with the next one beside or below it."""
    at = 0
    while at < len(found):
        first = found[at]
        start, end = trim(text, first.start, first.end)
        path, bare = first.path, not text[first.body : first.end].strip()
        while at + 1 < len(found) and (bare or end - start < limit // 2):
            further = found[at + 1]
            left = start, trim(text, further.start, further.end)[1]
            near = further.path[: len(path) - 1] == path[:-1] if path else True
            if not near or left[1] - left[0] > 8 * limit or count(text[slice(*left)]) > limit:
                break
            path = further.path if bare and further.path[: len(path)] == path else _common(path, further.path)
            bare = bare and not text[further.body : further.end].strip()
            end = left[1]
            at += 1
        where = " ".join(path)
        pieces = (
            pack(text, start, end, limit - overlap, count)
            if count(text[start:end]) > limit
            else [(start, end)]
        )
        for index, (left_, right) in enumerate(overlapping(text, pieces, overlap, count)):
            yield Chunk(left_, right, path=where, head=where if index else "", indexed=not bare)
        at += 1


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return tuple(each for each, _ in same)


def _headings(text: str, marked: dict[int, int]) -> list[tuple[int, _Name, int]]:
    """Offset, family with level and name, and where what follows begins, of each heading."""
    found: list[tuple[int, _Name, int]] = []
    at = 0
    for line in text.split("\n"):
        bare = line.strip()
        start = at + len(line) - len(line.lstrip())
        end = at + len(line)
        if at in marked and 0 < len(bare) <= 120:
            found.append((start, ("#", marked[at], bare), end))
        elif bare and (read := _heading(bare)):
            name, whole = read
            found.append((start, name, end if whole else start))
        at = end + 1
    return found if len(found) > 1 else []


def _heading(line: str) -> tuple[_Name, bool] | None:
    """What heading a line is, and whether it is the whole line."""
    if (found := _MARKDOWN.match(line)) and len(line) <= 120:
        return ("#", len(found["marks"]), line.strip("# \t")), True
    if formula := _FORMULA.match(line):
        return ("formula", 1, formula[0]), len(formula[0]) >= len(line) - 1
    if len(line) > 80:
        return None
    if (found := _DECIMAL.fullmatch(line)) and (found["gap"] or found["dot"] or "." in found["number"]):
        return ("1", found["number"].count("."), line), True
    return next((((family, 1, line), True) for family, pattern in _LINES if pattern.fullmatch(line)), None)
