"""English statutes in their articles: Article 6, Section 12A, § 1983; parts and chapters make the path."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from rag.ingest.document import Chunk
from rag.ingest.prose import Count, pack

_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
# A heading's number is followed by its title or its text; a citation goes on: `Section 5 of`, `Article 6(1)`, `§ 7, 8`.
_ARTICLE = re.compile(
    r"^[ \t#*]*(?:(?P<kind>Article|Section|Sec\.|Rule|Regulation|Clause|ARTICLE|SECTION|SEC\.)[ \t\u00a0]+|(?P<sign>§)[ \t\u00a0]*)"
    r"(?P<number>\d{1,5}[A-Za-z]{0,2}(?:[-.:]\d+[a-z]?)*|[IVXLC]{1,7})\b"
    r"(?:[.:—–][ \t]*|[ \t\u00a0]*(?=[*_]*$)|[ \t\u00a0]+[-—–]?[ \t]*(?=[(\[]?[A-Z\"“'‘*]))"
    r"(?!(?:of|and|or|to|shall|Paragraph|paragraph|Subsection|subsection)\b)",
    re.M,
)
_PART = re.compile(
    r"^[ \t#*]*(?P<kind>(?i:title|book|part|division|chapter|subchapter|schedule|annex|appendix))[ \t\u00a0]+"
    r"(?P<number>[IVXLC]+|\d{1,3}[A-Z]?|[A-Z])\b[.:—–-]?[^\n]{0,100}(?<![,;])$",
    re.M,
)
_LEVELS = {"title": 0, "book": 1, "part": 2, "division": 3, "chapter": 4, "subchapter": 5}
_OUTSIDE = {"schedule", "annex", "appendix"}
_MONTHS = "January February March April May June July August September October November December".split()  # noqa: SIM905
_DATE = re.compile(
    rf"(?:(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[ \u00a0]+(?P<month>{'|'.join(_MONTHS)})|(?P<first>{'|'.join(_MONTHS)})[ \u00a0]+(?P<second>\d{{1,2}}))"
    r",?[ \u00a0]+(?P<year>[12]\d{3})|(?P<iso>[12]\d{3}-[01]\d-[0-3]\d)"
)
_LONGEST_TITLE = 160


@dataclass(frozen=True, slots=True)
class _Heading:
    start: int
    name: str
    order: tuple[int, ...]


def is_act(text: str) -> bool:
    """Whether `text` is built of English articles or sections."""
    headings = _headings(text)
    return len(headings) >= 3 and len(text) - headings[0].start > len(text) / 3


def split(text: str, limit: int, count: Count) -> Iterator[Chunk]:
    """The chunks of an English statute in order, none of more than `limit` tokens."""
    headings = _headings(text)
    first = headings[0].start
    parts = {each.start(): each for each in _PART.finditer(text)}
    law = title(text[: min([first, *parts])])
    version = latest_date(text[:first])
    by_start = {each.start: each for each in headings}
    begins = min([first, *(at for at in parts if _only_headings(text, at, first))])
    bounds = sorted({at for at in {*parts, *by_start} if at >= begins} | {len(text)})
    for start, end in pack(text, 0, begins, limit, count):
        yield Chunk(start, end, law, None, version)
    path: dict[int, str] = {}
    for start, end in itertools.pairwise(bounds):
        if part := parts.get(start):
            kind = part["kind"].lower()
            level = 0 if kind in _OUTSIDE else _LEVELS[kind]
            path = {at: name for at, name in path.items() if at < level and kind not in _OUTSIDE}
            path[level] = " ".join(part[0].strip(" \t#*").split())
        heading = by_start.get(start)
        where = " ".join(path.values())
        bare = part is not None and not text[part.end() : end].strip()
        name = heading.name if heading else None
        for at, (left, right) in enumerate(pack(text, start, end, limit, count)):
            yield Chunk(left, right, law, name, version, where, not bare, (name or where) if at else "")


def _headings(text: str) -> list[_Heading]:
    """The lines that begin articles: those whose numbers go up, or begin anew."""
    found: list[_Heading] = []
    for each in _ARTICLE.finditer(text):
        order = _order(each["number"])
        if not found or order > found[-1].order or order == (1,):
            kind = (
                (each["kind"] or "")
                .rstrip(".")
                .capitalize()
                .replace("Sec", "Section")
                .replace("Sectiontion", "Section")
            )
            name = f"{kind} {each['number']}" if kind else f"§ {each['number']}"
            found.append(_Heading(each.start(), name, order))
    return found


def _order(number: str) -> tuple[int, ...]:
    """By which article numbers are compared: 12A comes after 12, IX is 9."""
    if number.isalpha() and number.isupper():
        values = [_ROMAN[each] for each in number]
        return (sum(-a if a < b else a for a, b in itertools.pairwise([*values, 0])),)
    return tuple(
        int(each) if each.isdigit() else ord(each[0].lower()) - 96
        for each in re.findall(r"\d+|[A-Za-z]+", number)
    )


def _only_headings(text: str, at: int, to: int) -> bool:
    """Whether nothing but short lines stands between the heading at `at` and the first article."""
    return at < to and all(
        len(line.strip()) < 80 and not line.rstrip().endswith(".") for line in text[at:to].split("\n")
    )


def title(preamble: str) -> str | None:
    """The act's name: its first line, unless that is too long for one."""
    line = next((each.strip(" \t#*") for each in preamble.split("\n") if each.strip(" \t#*")), "")
    return " ".join(line.split()) if 0 < len(line) <= _LONGEST_TITLE else None


def latest_date(preamble: str) -> str | None:
    """The latest date written in `preamble`, as an ISO date."""
    dates = []
    for each in _DATE.finditer(preamble):
        month = each["month"] or each["first"]
        day = each["day"] or each["second"]
        dates.append(each["iso"] or f"{each['year']}-{_MONTHS.index(month) + 1:02d}-{int(day):02d}")
    return max(dates, default=None)
