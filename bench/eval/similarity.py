"""BLEU-4 and ROUGE-1/2/L between a prediction and its label, as LLaMA-Factory computes them; chrF and exact match beside.

The formulas are those of `scripts/eval_bleu_rouge.py` and `ComputeSimilarity` in LLaMA-Factory, which combine
jieba, `nltk.sentence_bleu` with `SmoothingFunction().method3` and `rouge_chinese.Rouge`. They are written out
here because rouge_chinese's longest common subsequence keeps an n·m table of Python objects (two answers of
2000 words take ten seconds and half a gigabyte); the results are the same, traits included:

- BLEU is over characters, with four weights of ¼, and 0 only when not one character matches;
- ROUGE-1 and -2 are over *sets* of jieba n-grams, so repetition costs nothing;
- a blank line inside a text counts as one empty word;
- every value is a percentage rounded to four decimals before any mean is taken.

chrF is sacrebleu's (character 1- to 6-grams without spaces, β 2), which knows no smoothing and sees repetition. Exact
match is 100 where both texts are equal but for spaces at their ends, else 0.
"""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from fractions import Fraction

import jieba

METRICS = ("bleu-4", "rouge-1", "rouge-2", "rouge-l", "chrf", "exact_match")
"""The names of the scores, in the order in which tables show them; the first four are LLaMA-Factory's."""

_CHRF_ORDER = 6
_CHRF_BETA = 2

# Where rouge_chinese breaks a text into lines before it splits the lines at spaces.
_LINE_ENDS = (
    (re.compile(r"([。！？?])([^”’])"), "\\1\n\\2"),
    (re.compile(r"(\.{6})([^”’])"), "\\1\n\\2"),
    (re.compile(r"(…{2})([^”’])"), "\\1\n\\2"),
    (re.compile(r"([。！？?][”’])([^，。！？?])"), "\\1\n\\2"),
)


@dataclass(frozen=True, slots=True)
class Similarity:
    """The scores of one pair, 0 to 100."""

    bleu_4: float
    rouge_1: float
    rouge_2: float
    rouge_l: float
    chrf: float
    exact_match: float

    def values(self) -> dict[str, float]:
        """The scores by the names of `METRICS`."""
        return dict(zip(METRICS, astuple(self), strict=True))


class Scorer:
    """Scores pairs of texts. Loads jieba's dictionary, which takes a second, once a process."""

    def __init__(self) -> None:
        jieba.setLogLevel(logging.WARNING)
        jieba.initialize()

    def score(self, predict: str, label: str) -> Similarity:
        """The similarity of `predict` to `label`; an empty side gives zeros."""
        hypothesis, reference = _words(predict), _words(label)
        rouges = [0.0, 0.0, 0.0]
        if hypothesis and reference:
            rouges = [rouge_n(hypothesis, reference, n) for n in (1, 2)] + [rouge_l(hypothesis, reference)]
        exact = bool(label.strip()) and predict.strip() == label.strip()
        shares = [bleu_4(predict, label), *rouges, chrf(predict, label), float(exact)]
        return Similarity(*map(_percent, shares))


def bleu_4(predict: str, label: str) -> float:
    """Character BLEU-4 with NIST's geometric smoothing (`method3` of nltk), 0 to 1."""
    precisions: list[Fraction] = []
    halvings = 0
    for n in range(1, 5):
        wanted, given = _ngrams(label, n), _ngrams(predict, n)
        matches = sum(min(count, wanted[ngram]) for ngram, count in given.items())
        total = max(1, given.total())
        if matches == 0:
            if n == 1:
                return 0.0
            halvings += 1
            precisions.append(Fraction(1, 2**halvings * total))
        else:
            precisions.append(Fraction(matches, total))
    brevity = 1.0 if len(predict) > len(label) else math.exp(1 - len(label) / len(predict))
    return brevity * math.exp(math.fsum(0.25 * math.log(precision) for precision in precisions))


def rouge_n(hypothesis: Sequence[str], reference: Sequence[str], n: int) -> float:
    """F1 over the sets of word n-grams, 0 to 1."""
    given, wanted = set(_ngrams(hypothesis, n)), set(_ngrams(reference, n))
    return _f1(len(given & wanted), len(given), len(wanted))


def rouge_l(hypothesis: Sequence[str], reference: Sequence[str]) -> float:
    """F1 of the longest common subsequence of words, 0 to 1."""
    return _f1(common_subsequence(hypothesis, reference), len(hypothesis), len(reference))


def chrf(predict: str, label: str) -> float:
    """F2 of the mean precision and recall of character n-grams that both texts are long enough for, 0 to 1."""
    given, wanted = ("".join(text.split()) for text in (predict, label))
    orders = range(1, min(_CHRF_ORDER, len(given), len(wanted)) + 1)
    if not orders:
        return 0.0
    precision = recall = 0.0
    for n in orders:
        ours, theirs = _ngrams(given, n), _ngrams(wanted, n)
        matches = (ours & theirs).total()
        precision += matches / ours.total() / len(orders)
        recall += matches / theirs.total() / len(orders)
    factor = _CHRF_BETA**2
    total = factor * precision + recall
    return (1 + factor) * precision * recall / total if total else 0.0


def common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    """The length of the longest common subsequence, in memory linear in the lengths.

    The bit-parallel algorithm of Hyyrö (2004, "Bit-parallel LCS-length computation revisited"): a row of
    the usual table is one integer, in which a zero bit marks a column where the length grows.
    """
    columns: dict[str, int] = {}
    for position, word in enumerate(left):
        columns[word] = columns.get(word, 0) | 1 << position
    full = (1 << len(left)) - 1
    row = full
    for word in right:
        matches = row & columns.get(word, 0)
        row = (row + matches | row - matches) & full
    return len(left) - row.bit_count()


def _words(text: str) -> list[str]:
    joined = " ".join(jieba.cut(text))
    return _split(joined) if joined.split() else []


def _ngrams(items: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(items[start : start + n]) for start in range(len(items) - n + 1))


def _f1(overlap: int, given: int, wanted: int) -> float:
    precision = overlap / given if given else 0.0
    recall = overlap / wanted if wanted else 0.0
    return 2.0 * ((precision * recall) / (precision + recall + 1e-8))


def _split(joined: str) -> list[str]:
    for pattern, broken in _LINE_ENDS:
        joined = pattern.sub(broken, joined)
    lines = (" ".join(line.split()) for line in joined.rstrip().split("\n") if line)
    return [word for line in lines for word in line.split(" ")]


def _percent(value: float) -> float:
    return round(value * 100, 4)
