"""Statutes in their articles: law, version, part and chapter, article; an article is one chunk.

A line that begins with 第…条 is a heading only if it also reads like one and its number continues the count: laws
cite each other at the beginning of lines, too, above all where a PDF broke them.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace

from rag.answer.statutes import read_numeral, write_numeral
from rag.ingest.document import Chunk
from rag.ingest.prose import Count, pack, trim

_NUMBER = r"[〇零一二三四五六七八九十百千两\d０-９]+"
_ARTICLE = re.compile(
    rf"^[ \t\u3000]*(?P<head>第[ \u3000]?(?P<number>{_NUMBER})[ \u3000]?条(?:之(?P<sub>[一二三四五六七八九十]{{1,3}}))?)(?P<gap>[^\S\n]*)",
    re.M,
)
# What follows 第…条 where it is cited rather than begun: anything connecting, or, after a space, only what is sure.
_CITED = re.compile(r"[的、，,。；;）)和与及至或到第款项中所之内]|规定|以外|以下|以上|前款|同时|～|~|-")
_CITED_APART = re.compile(
    rf"[的、，,。；;）)]|(?:[和与及至或到、]|或者|以及)?第{_NUMBER}[条款项章]|规定[的，。；、]|以外的"
)
_PART = re.compile(
    rf"^[ \t\u3000]*(?:第{_NUMBER}(?P<kind>分编|编|章|节)(?![、，,。；;的和与及至])[^\n。；]{{0,50}}|(?P<item>[一二三四五六七八九十]{{1,3}}、)[^\n。；，：:]{{1,30}})$",
    re.M,
)
_APPENDIX = re.compile(r"^[ \t\u3000]*(?:附件|附录|附表|附[：:])[^\n]{0,60}$", re.M)
_ITEM = re.compile(rf"[ \t\u3000]*[（(](?P<number>{_NUMBER})[）)]")
_LEVEL = {"编": 0, "分编": 1, "章": 2, "节": 3, None: 4}
_DATE = re.compile(
    r"([12]\d{3}|[１２]\d{3}|[一二][〇○零一二三四五六七八九]{3})\s*年\s*(\d{1,2}|[一二三四五六七八九十]{1,3})\s*月\s*(\d{1,2}|[一二三四五六七八九十]{1,3})\s*日"
)
_APPLIES = re.compile(rf"本[^\n，。；自]{{1,10}}自(?:{_DATE.pattern})起(?:施行|实施|执行|生效)")
_TITLE_END = re.compile(
    r"(?:法|法典|条例|规定|办法|解释|细则|规则|章程|决定|通则|意见|批复|标准|规范|合同|协议|制度|公约|宪法)(?:[（(][^（）()]{1,20}[）)])?》?$"
)
_EDITION = re.compile(r"[（(][^（）()]*(?:\d{4}|修正|修订|公布|通过)[^（）()]*[）)]$")
_NO_TITLE = re.compile(rf"[。；，：！？]|^(?:第{_NUMBER}条|[（(]?[〇一二三四五六七八九十\d]+[）)、.．])")
_BROKEN = re.compile(r"中华人民共和国|最高人民|.*关于")
_LONGEST_TITLE = 80
_LONGEST_PREAMBLE = 20_000
"""Characters from a law's title to its first article, its contents between them."""


@dataclass(frozen=True, slots=True)
class _Heading:
    """A line that may begin an article: where, its number, and whether space or line end sets its name off.

    `title` is where the title of a law stands above it, if one does.
    """

    start: int
    number: int
    sub: int
    apart: bool
    title: int | None = None

    @property
    def name(self) -> str:
        sub = f"之{write_numeral(self.sub)}" if self.sub else ""
        return f"第{write_numeral(self.number)}条{sub}"

    def begins(self, last: tuple[int, int]) -> bool:
        """Whether it begins a law, or the count anew, after the article `last`."""
        if (self.number, self.sub) == (1, 0):
            return self.apart or self.title is not None
        return self.title is not None and not self.follows(last)

    def follows(self, last: tuple[int, int]) -> bool:
        """Whether its number is the next after `last`."""
        return (self.number, self.sub) in ((last[0] + 1, 0), (last[0], last[1] + 1))


@dataclass(frozen=True, slots=True)
class _Law:
    """One law of a file: where it begins, and what its preamble tells."""

    start: int
    name: str | None
    version: str | None
    book: str


def is_statute(text: str) -> bool:
    """Whether `text` is built of articles."""
    headings = _headings(text)
    if len(headings) < 2:
        return False
    span = len(text) - headings[0].start
    return span > len(text) / 3 or len(headings) >= 10


def split(text: str, limit: int, count: Count) -> Iterator[Chunk]:
    """The chunks of a statute, or of several in one file, in order, none of more than `limit` tokens."""
    headings = _headings(text)
    laws = _laws(text, headings)
    for law, following in itertools.zip_longest(laws, laws[1:]):
        end = following.start if following else len(text)
        yield from _split(
            text, end, law, [each for each in headings if law.start <= each.start < end], limit, count
        )


def _split(
    text: str, stop: int, law: _Law, headings: list[_Heading], limit: int, count: Count
) -> Iterator[Chunk]:
    """The chunks of text[law.start:stop], which is one law."""
    parts = _parts(text, law.start, stop)
    bounds = {each.start for each in headings} | {at for at, _, _ in parts} | {stop}
    bounds |= {found.start() for found in _APPENDIX.finditer(text, headings[0].start, stop)}
    first = next((at for at, _, _ in parts if _runs_up(text, at, headings[0].start)), headings[0].start)
    by_start = {each.start: each for each in headings}
    part_at = {at: (level, name) for at, level, name in parts}
    for start, end in pack(text, law.start, first, limit, count):
        yield Chunk(start, end, law.name, None, law.version)
    path: dict[int, str] = {-1: law.book} if law.book else {}
    for start, end in itertools.pairwise(sorted(each for each in bounds if each >= first)):
        if part := part_at.get(start):
            path = {level: name for level, name in path.items() if level < part[0]} | {part[0]: part[1]}
            line = trim(text, *_line(text, start))
            yield Chunk(*line, law.name, None, law.version, " ".join(path.values()), indexed=False)
            start = line[1]
        heading = by_start.get(start)
        where = " ".join(path.values())
        pieces = list(pack(text, start, end, limit, count))
        name, opening = (heading.name, _opening(text, start, end)) if heading else (None, "")
        for left, right in pieces:
            head = f"{name} {opening}".strip() if name and left > pieces[0][0] else ""
            inside = clause(text, start, left) if name and len(pieces) > 1 else None
            yield Chunk(left, right, law.name, name, law.version, where, head=head, clause=inside)


def _laws(text: str, headings: list[_Heading]) -> list[_Law]:
    """The laws that `text` holds, one after another; where there are several, each begins with its title."""
    begins = {each.start: each.title for each in headings if each.title is not None}
    begins.pop(headings[0].start, None)
    if not begins:
        return [_law(text, 0, 0, headings[0].start)]
    first = headings[0].title
    return [
        _law(text, 0, 0 if first is None else first, headings[0].start),
        *(_law(text, at, at, article) for article, at in begins.items()),
    ]


def _law(text: str, start: int, named: int, article: int) -> _Law:
    """The law that begins at `start`, with its title at `named` and its first article at `article`."""
    preamble = text[named:article]
    return _Law(start, title(preamble, len(preamble)), latest_date(preamble), _book(preamble))


def _opening(text: str, start: int, end: int) -> str:
    """How an article begins where its items go on from that: 有下列情形之一的，用人单位应当…：; else nothing."""
    line = text[start:end].strip().split("\n")[0].strip()
    found = _ARTICLE.match(line)
    return (
        line[found.end() if found else 0 :].strip() if line.endswith(("：", ":")) and len(line) <= 160 else ""
    )


def clause(text: str, start: int, at: int) -> str:
    """Which paragraph (款), and item (项) if any, of the article that begins at `start` the character at `at` is in."""
    line_end = text.find("\n", at)
    paragraph, item = 0, ""
    for line in text[start : line_end if line_end >= 0 else len(text)].split("\n"):
        if found := _ITEM.match(line):
            item = f"第{write_numeral(read_numeral(found['number']) or 0)}项"
        elif line.strip():
            paragraph, item = paragraph + 1, ""
    return f"第{write_numeral(max(1, paragraph))}款{item}"


def _headings(text: str) -> list[_Heading]:
    """The lines that begin articles."""
    candidates: list[_Heading] = []
    for found in _ARTICLE.finditer(text):
        if each := _candidate(text, found, _line(text, candidates[-1].start)[1] if candidates else 0):
            candidates.append(each)
    return list(_counted(candidates))


def _candidate(text: str, found: re.Match[str], after: int) -> _Heading | None:
    number = read_numeral(found["number"])
    apart = bool(found["gap"]) or text[found.end() : found.end() + 1] in ("", "\n")
    cited = (_CITED_APART if apart else _CITED).match(text, found.end())
    if cited or number is None or not 0 < number < 10_000:
        return None
    if not apart and not re.search(
        r"(?:^|[。；：！？”）)\n])\s*$|\n[^\n。]{0,40}\n\s*$",
        text[max(0, found.start() - 60) : found.start()],
    ):
        return None
    sub = read_numeral(found["sub"] or "零") or 0
    return _Heading(found.start(), number, sub, apart, _begins(text, after, found.start()))


def _begins(text: str, after: int, article: int) -> int | None:
    """Where in text[after:article], between two articles, the title of the law stands that begins with the second."""
    at, lines = max(after, article - _LONGEST_PREAMBLE), []
    for line in text[at:article].split("\n"):
        if line.strip():
            lines.append((at, line.strip()))
        at += len(line) + 1
    titles = [index for index, (_, line) in enumerate(lines) if _titles(line)]
    if not titles:
        return None
    # Above the contents it stands for the first time, as far up as no sentence of the law before ends.
    ended = max((index for index in range(titles[-1]) if lines[index][1][-1] in "。；：;:"), default=-1)
    found = next(index for index in titles if index > ended or lines[index][1] == lines[titles[-1]][1])
    above = lines[found - 1][1] if found - 1 > ended else ""
    broken = _BROKEN.match(above) and not _NO_TITLE.search(above)
    return lines[found - 1 if broken else found][0]


def _titles(line: str) -> bool:
    """Whether a line is like the title of a law."""
    return bool(
        4 <= len(line) <= _LONGEST_TITLE
        and _TITLE_END.search(_EDITION.sub("", line))
        and not _NO_TITLE.search(line)
        and not _PART.match(line)
    )


def _counted(candidates: list[_Heading]) -> Iterator[_Heading]:
    """Those that continue the count. A number that leaps ahead counts only if the next one never comes."""
    last = (0, 0)
    for index, (part_end, heading) in enumerate(_until_restart(candidates)):
        here = (heading.number, heading.sub)
        leap = here > last and heading.apart and not _comes(candidates, index + 1, part_end, last[0] + 1)
        begins = heading.begins(last)
        if begins or heading.follows(last) or leap:
            last = here
            yield heading if begins else replace(heading, title=None)


def _until_restart(candidates: list[_Heading]) -> Iterator[tuple[int, _Heading]]:
    """Each candidate with the index at which the count begins anew after it."""
    before = [(0, 0), *((each.number, each.sub) for each in candidates)]
    restarts = [index for index, each in enumerate(candidates) if each.begins(before[index])]
    for index, each in enumerate(candidates):
        at = bisect_right(restarts, index)
        yield (restarts[at] if at < len(restarts) else len(candidates)), each


def _comes(candidates: list[_Heading], start: int, stop: int, number: int) -> bool:
    # The next article is near: looking further would cost much in a text made to be slow.
    return any(each.number == number for each in candidates[start : min(stop, start + 200)])


def _parts(text: str, start: int, end: int) -> list[tuple[int, int, str]]:
    """The headings of parts and chapters in text[start:end]: offset, level, name with single spaces."""
    found = _PART.finditer(text, start, end)
    return [(each.start(), _LEVEL[each["kind"]], " ".join(each[0].split())) for each in found]


def _runs_up(text: str, at: int, to: int) -> bool:
    """Whether only headings stand between `at` and the first article."""
    return at < to and all(_PART.match(line) or not line.strip() for line in text[at:to].split("\n"))


def _line(text: str, start: int) -> tuple[int, int]:
    end = text.find("\n", start)
    return start, end if end >= 0 else len(text)


def title(text: str, end: int) -> str | None:
    """The law's name: the first line before `end`, with the next where a PDF broke it; without its edition."""
    lines = [line.strip() for line in text[:end].split("\n")[:12] if line.strip(" \t\u3000\u200b")]
    name = ""
    for line in lines[:3]:
        if len(name) + len(line) > _LONGEST_TITLE or _DATE.search(line) or re.search(r"[。；]$", line):
            break
        name += line
        if _TITLE_END.search(name):
            break
    else:
        name = lines[0] if lines and len(lines[0]) <= _LONGEST_TITLE else ""
    if name and not _TITLE_END.search(name):
        name = lines[0]
    name = _EDITION.sub("", re.sub(r"[\s\u200b#*]", "", name)).strip("《》")
    return name or None


def _book(preamble: str) -> str:
    """The book of a code that comes by itself, such as 合同编."""
    lines = [line.strip() for line in preamble.split("\n") if line.strip()]
    return lines[1] if len(lines) > 1 and re.fullmatch(r"[一-鿿]{1,8}编|总则|附则", lines[1]) else ""


def effective(text: str) -> str | None:
    """Since when the statute `text` applies, as an ISO date: as it says before its first article or in its last ones
    (本法自2021年1月1日起施行), but never before it got its present wording."""
    headings = _headings(text)
    preamble = text[: headings[0].start] if headings else text
    version = latest_date(preamble)
    last = [each for each in _APPLIES.finditer(text) if each.start() > len(preamble)]
    said = latest_date(last[-1][0]) if last else None
    return max((each for each in (version, said) if each), default=None)


def book(text: str) -> str:
    """The book of a code that `text` is by itself, such as 合同编; else nothing."""
    headings = _headings(text)
    return _book(text[: headings[0].start]) if headings else ""


def latest_date(preamble: str) -> str | None:
    """The latest date written in `preamble`, as an ISO date: when the text in hand was passed or took effect."""
    dates = []
    for year, month, day in _DATE.findall(preamble.replace("○", "〇")):
        numbers = read_numeral(year), read_numeral(month), read_numeral(day)
        if None not in numbers and numbers[1] <= 12 and numbers[2] <= 31:  # type: ignore[operator]
            dates.append("{:04d}-{:02d}-{:02d}".format(*numbers))
    return max(dates, default=None)
