"""Text in pieces of bounded size, cut where a reader would: paragraphs, sentences, clauses, and only then anywhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

Count = Callable[[str], int]
Size = Callable[[int, int], int]

# Each next pattern cuts finer; a piece ends with what it matched.
_BOUNDARIES = (
    re.compile(r"\n\s*\n"),
    re.compile(r"\n"),
    re.compile(r"[。！？；!?;][”’」』）)\"']*|\.(?=\s)"),
    re.compile(r"[，、：,:]|\s"),
)
_SENTENCE = re.compile(r"\n|[。！？；!?;][”’」』）)\"']*|\.(?=\s)")


def pack(text: str, start: int, end: int, limit: int, count: Count) -> Iterator[tuple[int, int]]:
    """Spans of text[start:end] of at most `limit` tokens, trimmed of space, that leave out nothing but space.

    Neighbouring pieces are put together as long as they fit.
    """

    def size(left: int, right: int) -> int:
        # So long a run cannot fit; counting its tokens would only cost time.
        return count(text[left:right]) if right - left <= 8 * limit else limit + 1

    yield from _pack(text, start, end, limit, size, 0)


def overlapping(
    text: str, pieces: Iterable[tuple[int, int]], overlap: int, count: Count
) -> Iterator[tuple[int, int]]:
    """The `pieces`, each begun so much earlier, at a sentence of the one before it, that they share at most `overlap`
    tokens."""
    last: tuple[int, int] | None = None
    for start, end in pieces:
        begun = start
        if overlap and last is not None:
            begins = (found.end() for found in _SENTENCE.finditer(text, last[0], start))
            shared = (at for at in begins if at < start and count(text[at:start]) <= overlap)
            begun = trim(text, next(shared, start), end)[0]
        yield begun, end
        last = start, end


def _pack(text: str, start: int, end: int, limit: int, size: Size, level: int) -> Iterator[tuple[int, int]]:
    start, end = trim(text, start, end)
    if start >= end:
        return
    if size(start, end) <= limit:
        yield start, end
        return
    if level == len(_BOUNDARIES):
        yield from _cut(start, end, limit, size)
        return
    begun = start
    total = 0
    for left, right in _pieces(text, start, end, _BOUNDARIES[level]):
        weight = size(left, right)
        if total and total + weight > limit:
            yield from _pack(text, begun, left, limit, size, level + 1)
            begun, total = left, 0
        total += weight
    yield from _pack(text, begun, end, limit, size, level + 1)


def _pieces(text: str, start: int, end: int, boundary: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    at = start
    for found in boundary.finditer(text, start, end):
        yield at, found.end()
        at = found.end()
    if at < end:
        yield at, end


def _cut(start: int, end: int, limit: int, size: Size) -> Iterator[tuple[int, int]]:
    """Text without any boundary, in runs of as many characters as surely fit."""
    while start < end:
        stop = min(end, start + max(1, limit))
        while stop - start > 1 and size(start, stop) > limit:
            stop = start + (stop - start) // 2
        yield start, stop
        start = stop


def trim(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the space at its ends."""
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
