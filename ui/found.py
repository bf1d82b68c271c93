"""The words of a question that stand in a passage."""

from __future__ import annotations

import re
from html import escape

from ui.markup import BLANK

_WORD = re.compile(r"[A-Za-z0-9]+|[一-鿿]+")
_SHORTEST = 2  # letters of a word that is marked
# Words that ask, or that stand in every provision, say nothing of why a passage was found.
_COMMON = frozenset(
    [
        "什么",
        "怎么",
        "如何",
        "是否",
        "多少",
        "哪些",
        "为什",
        "可以",
        "应当",
        "能否",
        "不能",
        "按照",
        "根据",
        "规定",
        "有关",
        "the",
        "and",
        "for",
        "are",
        "how",
        "what",
        "who",
        "when",
        "does",
        "may",
    ]
)


def marked(query: str, text: str) -> tuple[tuple[str, bool], ...]:
    """`text` as runs; a run is marked where it is a word of `query`: of Chinese, at least two characters that follow one
    another in both."""
    lowered = text.lower()
    words = {word for each in _WORD.findall(query.lower()) for word in _shared(each, lowered)} - _COMMON
    if not words:
        return ((text, False),)
    longest_first = sorted(words, key=lambda word: -len(word))
    bounds = (rf"\b{word}\b" if word.isascii() else word for word in longest_first)
    parts = re.split(f"({'|'.join(bounds)})", text, flags=re.IGNORECASE)
    # Splitting by a captured pattern puts what was found at the odd places.
    return tuple((part, place % 2 == 1) for place, part in enumerate(parts) if part)


def words_html(query: str, text: str) -> str:
    """`text` as HTML without blank lines, the words of `query` in it marked."""
    runs = marked(query, BLANK.sub("\n", text.strip()))
    return "".join(f"<mark>{escape(run)}</mark>" if is_found else escape(run) for run, is_found in runs)


def _shared(run: str, text: str) -> list[str]:
    """The longest pieces of `run` that stand in `text`; a word of letters only as a whole."""
    if run.isascii():
        return [run] if len(run) >= _SHORTEST and re.search(rf"\b{run}\b", text) else []
    pieces, at = list[str](), 0
    while at <= len(run) - _SHORTEST:
        end = next((end for end in range(len(run), at + 1, -1) if run[at:end] in text), 0)
        if end:
            pieces.append(run[at:end])
        at = max(end - 1, at + 1)
    return pieces
