"""What can be compared of two texts word by word, Chinese and Latin alike."""

from __future__ import annotations

import re

from rag.answer.statutes import without_references

FIGURE_WEIGHT = 3  # a figure says as much as this many units

_HAN_RUN = re.compile(r"[㐀-鿿]+")
_WORD = re.compile(r"[a-z]{3,}")
_NUMERALS = re.compile(r"[零〇一二两三四五六七八九十百千万亿]+|[\d０-９]+")
_COMMON_WORDS = re.compile(
    r"the|and|for|that|this|with|shall|are|was|were|been|from|have|has|not|may|any|such|under|which|who|will|your|you|its"
    r"|their|his|her|they|them|than|then|there|these|those|into|upon|where|when|what|can|must|should"
)


def content_units(text: str) -> frozenset[str]:
    """What can be compared word by word: bigrams of Han characters and words of the Latin script.

    Law names, article numbers and numerals are left out; they are compared by value.
    """
    plain = _NUMERALS.sub(" ", without_references(text)).lower()
    bigrams = {run[n : n + 2] for run in _HAN_RUN.findall(plain) for n in range(len(run) - 1)}
    words = {word for word in _WORD.findall(plain) if not _COMMON_WORDS.fullmatch(word)}
    return frozenset(bigrams | words)


def is_han(units: frozenset[str]) -> bool:
    """Whether most of the units are Chinese."""
    return sum(bool(_HAN_RUN.match(unit)) for unit in units) * 2 > len(units)
