"""Where words of a page's extracted text stand in another reading of the same page.

Two readers of one PDF differ in spaces, hyphens, ligatures, running heads and sometimes the order of their lines. What is
found here is sure: the words stand there once, alone or with what surrounds them, or nothing is told.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections import Counter

from rag.ingest.radicals import written

_DROPPED = re.compile("[\\s\x00-\x1f\x7f\u00ad\u200b-\u200f\u2060\ufeff\ufffe\uffff_-]")
_AROUND = (0, 6, 12, 24, 48, 96)
"""Characters before and after that may help to tell words from others that are the same."""
_SHORT = 4
"""Characters; a shorter line says too little to be known by itself."""

Span = tuple[int, int]


def locate(said: str, start: int, end: int, shown: str) -> list[Span] | None:
    """The spans of `shown` that are the words `said[start:end]`, in their order; None where that is not sure, none for
    no words."""
    bare_said, places_said = _bare(said)
    bare_shown, places_shown = _bare(shown)
    first, last = bisect_left(places_said, start), bisect_left(places_said, end)
    if first == last:
        return []
    at = _known(bare_said, first, last, bare_shown)
    spans = [at] if at else _by_lines(bare_said, first, last, shown)
    if spans is None:
        return None
    return [(places_shown[begin], places_shown[stop - 1] + 1) for begin, stop in spans]


def _bare(text: str) -> tuple[str, list[int]]:
    """What all readings of `text` have in common, and the index in `text` of each of its characters."""
    letters: list[str] = []
    places: list[int] = []
    for place, char in enumerate(text):
        if not _DROPPED.match(char):
            for letter in unicodedata.normalize("NFKC", written(char)):
                letters.append(letter)
                places.append(place)
    return "".join(letters), places


def _known(said: str, first: int, last: int, shown: str) -> Span | None:
    """Where said[first:last] stands in `shown`, told from the same words elsewhere by what surrounds it."""
    sides = [(reach, reach) for reach in _AROUND] + [(len(said), len(said))]
    sides += [side for reach in _AROUND[1:] for side in ((reach, 0), (0, reach))]
    for before, after in sides:
        left, right = max(0, first - before), min(len(said), last + after)
        window = said[left:right]
        at = _only(shown, window) if _only(said, window) is not None else None
        if at is not None:
            return at + first - left, at + last - left
    return None


def _only(text: str, words: str) -> int | None:
    """Where `words` stand in `text`; None where they do not, or more than once."""
    at = text.find(words)
    return at if at >= 0 and text.find(words, at + 1) < 0 else None


def _by_lines(said: str, first: int, last: int, shown: str) -> list[Span] | None:
    """Where said[first:last] stands in a reading whose lines have another order: every line that holds some of it must be
    found whole."""
    lines: list[tuple[str, int]] = []
    length = 0
    for line in shown.splitlines():
        lines.append((_bare(line)[0], length))
        length += len(lines[-1][0])
    times = Counter(text for text, _ in lines)
    single = {text: at for text, at in lines if text and times[text] == 1}
    known = sorted(
        (place, place + len(text), single[text])
        for text in single
        if len(text) >= _SHORT and (place := _only(said, text)) is not None
    )
    spans: list[Span] = []
    reached = 0
    for begin, stop, at in [*known, (len(said), len(said), 0)]:
        if begin < reached:
            return None  # two lines that claim the same words
        # What lies between two lines must be a line itself.
        gap = said[reached:begin]
        pieces = [(reached, begin, single.get(gap, -1))] if gap else []
        for left, right, there in [*pieces, (begin, stop, at)]:
            inside = max(left, first), min(right, last)
            if inside[0] < inside[1]:
                if there < 0:
                    return None
                spans.append((there + inside[0] - left, there + inside[1] - left))
        reached = stop
    return spans
