"""Two answers to a question before a judge, in both orders.

A pair is judged twice, with the answers in either place; where the verdicts on an item disagree it is a tie, so that a
judge who prefers the first place decides nothing. The rule is MT-bench's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from praxis.judging.prompts import PROMPTS
from praxis.judging.rubric import OVERALL, Rubric
from praxis.judging.thinking import without_thinking

MAX_TOKENS = 2048
"""Longest reply of a judge, its thinking included, where nothing else is said."""

FIRST, TIE, SECOND = WINNERS = ("first", "tie", "second")

_VERDICT = re.compile(r"\[\[\s*([ABC])\s*\]\]")
_OTHER = {"A": "B", "B": "A"}
_NAMED = re.compile(r"((?:答复|回答|答案|[Aa]nswer|[Rr]esponse|[Rr]eply)\s*[“\"'‘]?)([AB])(?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to a question, and the reference answer where there is one."""

    question: str
    first: str
    second: str
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """The judgement on one item: one of `WINNERS`, and the judge's reason, in which A is the first answer.

    `verdicts` are `A`, `B` or `C` from the first answer's side, one for each order.
    """

    winner: str
    verdicts: tuple[str, str]
    reason: str

    @property
    def flipped(self) -> bool:
        """Whether the place of the answers decided, and not the answers."""
        return self.verdicts[0] != self.verdicts[1]


@dataclass(frozen=True, slots=True)
class Judge:
    """Who judges and how: asked in `language`, one of those of `PROMPTS`, or the rubric's own where it is empty."""

    model: str
    rubric: Rubric
    max_tokens: int = MAX_TOKENS
    language: str = ""

    def request(self, pair: Pair, *, swapped: bool) -> dict[str, Any]:
        """The chat request about the pair, its answers in each other's place where it is `swapped`."""
        first, second = (pair.second, pair.first) if swapped else (pair.first, pair.second)
        language = self.language or self.rubric.language
        prompts = PROMPTS[language]
        reference = prompts.reference.format(reference=pair.reference) if pair.reference.strip() else ""
        asked = prompts.pair.format(question=pair.question, reference=reference, first=first, second=second)
        return {
            "model": self.model,
            "messages": [
                {"role": "system", "content": self.rubric.instructions(language)},
                {"role": "user", "content": asked},
            ],
            "temperature": 0,
            "max_tokens": self.max_tokens,
        }

    def digest(self, pair: Pair) -> str:
        """The SHA-256 of what this judge is asked about the pair: judge, rubric, answers."""
        request = json.dumps(self.request(pair, swapped=False), ensure_ascii=False)
        return hashlib.sha256(request.encode("utf-8", "replace")).hexdigest()

    def findings(self, said: str, swapped: str) -> dict[str, Finding]:
        """The judgement by item, `OVERALL` among them, from the replies in both orders.

        An item on which the judge gave no verdict, either time, is not among them.
        """
        once, again = _verdicts(said, self.rubric), _verdicts(swapped, self.rubric)
        return {item: _agreed(once[item], again[item]) for item in once if item in again}


def decided(said: str, rubric: Rubric) -> bool:
    """Whether a reply holds a verdict on the whole."""
    return OVERALL in _verdicts(said, rubric)


def renamed(reason: str, a: str, b: str) -> str:
    """A reason with its answers A and B called `a` and `b`."""
    return _NAMED.sub(lambda match: match[1] + {"A": a, "B": b}[match[2]], reason)


def _verdicts(said: str, rubric: Rubric) -> dict[str, tuple[str, str]]:
    """Letter and reason by item. A judge may write a list, a table, bold names, or headings with the verdict below.

    Of the whole the last word counts, also where nothing but the verdict itself says that it is on the whole.
    """
    text = without_thinking(said)
    names = {name.casefold(): meant for name, meant in rubric.names().items()}
    marks = list(_heading(names).finditer(text))
    rest = text[: marks[0].start()] if marks else text
    found: dict[str, tuple[str, str]] = {}
    for mark, end in zip(marks, [*(each.start() for each in marks[1:]), len(text)], strict=False):
        part = text[mark.end() : end]
        verdicts = list(_VERDICT.finditer(part))
        item = names[mark[1].replace("’", "'").casefold()]
        if item == OVERALL or not verdicts:
            rest += part
            continue
        found[item] = _read(part, verdicts[0])
        rest += part[verdicts[0].end() :]
    last = list(_VERDICT.finditer(rest))
    return found | ({OVERALL: _read(rest, last[-1])} if last else {})


def _heading(names: Iterable[str]) -> re.Pattern[str]:
    """The names of items at the beginning of a line; of two that begin alike the longer one. Latin ones stand as words."""
    longest_first = sorted(names, key=len, reverse=True)
    known = "|".join(
        re.escape(name).replace("'", "['’]") + (r"(?!\w)" if name.isascii() else "") for name in longest_first
    )
    return re.compile(rf"^[\W\d_一二三四五六七八九十]*({known})", re.MULTILINE | re.IGNORECASE)


def _read(text: str, verdict: re.Match[str]) -> tuple[str, str]:
    """The letter, and the reason beside it: on its line, or else before it."""
    after = text[verdict.end() :].partition("\n")[0]
    return verdict[1], _reason(after) or _reason(text[: verdict.start()])


def _reason(text: str) -> str:
    return " ".join(text.split()).strip(" |*_#：:—–-，,")


def _agreed(once: tuple[str, str], again: tuple[str, str]) -> Finding:
    """`again` was said with the answers in each other's place."""
    letters = once[0], _OTHER.get(again[0], "C")
    reason = once[1] or renamed(again[1], "B", "A")
    winner = {"A": FIRST, "B": SECOND}.get(letters[0], TIE) if letters[0] == letters[1] else TIE
    return Finding(winner, letters, reason)
