"""Which clause of a passage speaks of a sentence's case, and whether the sentence turns it round.

A statute sets several cases side by side, each with a figure of its own (150 % for longer hours, 200 % on rest days), and
forbids in the words in which it could allow. An answer that gives one case the figure of another, or drops a 不得, shares
nearly every word with the article that it misreads. Both checks compare clause by clause and speak up only where
another clause clearly fits better, or where the same clause says the opposite; what they cannot tell they let pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Literal

from rag.answer.content import FIGURE_WEIGHT, content_units
from rag.answer.statutes import Quantity, stated

_EVIDENCE = 2  # units that tell one case from another: a single one may be chance
_LEAST_COMPARED = 4  # units of a clause, below which too little is said to be turned round
_SAME_CLAUSE = 0.8  # share of a clause's units that another one holds when both say the same thing

_CASE_ENDS = re.compile(r"[。；;！!？?\n]")
_CLAUSE_ENDS = re.compile(r"[。；;！!？?\n，,：:]")
_TAKEN_ON = r"(?=承担|属于|构成|享有|具有|适用|支付|支持)"  # bare verbs that a 不 turns round: no modal stands with them
_FORBIDS = re.compile(
    rf"不得|不准|不许|不应当?|不可以?|不能|不予|不必|不需要?|不用|不再|不{_TAKEN_ON}|禁止|严禁|无须|无需|无权"
    r"|\b(?:shall|may|must|can|need) ?not\b"
)
_ALLOWS = re.compile(
    rf"可以|应当|必须|有权|允许|需要|予以|应予?|可|须|{_TAKEN_ON}|\b(?:shall|may|must|can)\b"
)
_CONDITION = re.compile(r"^\s*(?:如果|若|因|除|对于)|(?:的|时|后|前|者)[”’）)]*\s*$")
_BREACH = re.compile(r"违反|违法|处罚|罚款|责任|赔偿")  # tells what is past a bound rather than the bound


@dataclass(frozen=True, eq=False)
class _Case:
    """A sentence of a passage or an item of its list, or a clause of an answer's sentence."""

    text: str

    @cached_property
    def figures(self) -> list[Quantity]:
        return stated(self.text)

    @cached_property
    def units(self) -> frozenset[str]:
        return content_units(self.text) | {each.key for each in self.figures}

    def counts(self, unit: str | None) -> bool:
        return any(each.unit == unit for each in self.figures)


class Clauses:
    """A passage, case by case and clause by clause."""

    def __init__(self, text: str) -> None:
        self._cases = [_Case(each) for each in _CASE_ENDS.split(text) if each.strip()]
        self._clauses = [_bare(each) for each in _CLAUSE_ENDS.split(text) if each.strip()]

    def misplaced(self, sentence: str) -> list[str]:
        """The figures of `sentence`, as written there, that the passage states of another case than the sentence does."""
        clauses = [_Case(each) for each in _CLAUSE_ENDS.split(sentence) if each.strip()]
        return [
            figure.written
            for n, clause in enumerate(clauses)
            for figure in clause.figures
            if self._is_misplaced(figure, _widening(clauses, n, figure))
        ]

    def _is_misplaced(self, figure: Quantity, contexts: Iterator[frozenset[str]]) -> bool:
        alike = [case for case in self._cases if case.counts(figure.unit)]
        own = [case for case in alike if figure.key in case.units]
        others = [case for case in alike if figure.key not in case.units]
        if not own or not others:
            return False
        common = frozenset.intersection(*(case.units for case in alike)) | {figure.key}
        for context in contexts:
            told = context - common
            here, there = (max(_weight(told & case.units) for case in cases) for cases in (own, others))
            if max(here, there) >= _EVIDENCE and not here / 2 <= there <= 2 * here:
                return there > here
        return False

    def turned(self, sentence: str) -> str | None:
        """The clause of `sentence` that says the opposite of the passage's same clause; None if none does."""
        for clause in _CLAUSE_ENDS.split(sentence):
            if not _BREACH.search(sentence) and self._bounds_turned(clause):
                return clause.strip()
            said, stance = _bare(clause)
            if stance is None or len(said) < _LEAST_COMPARED:
                continue
            shares = [len(said & words) / len(said) for words, _ in self._clauses]
            best = max(shares, default=0.0)
            nearest = {each for share, (_, each) in zip(shares, self._clauses, strict=True) if share == best}
            if best >= _SAME_CLAUSE and nearest == {-stance}:
                return clause.strip()
        return None

    def _bounds_turned(self, clause: str) -> bool:
        """Whether a figure is the most that may be where the passage has it as the least, or the other way round."""
        for figure in stated(clause):
            bounds = {each.bound for case in self._cases for each in case.figures if each.key == figure.key}
            if figure.bound and bounds and None not in bounds and figure.bound not in bounds:
                return True
        return False


def _widening(clauses: Sequence[_Case], n: int, figure: Quantity) -> Iterator[frozenset[str]]:
    """The units of clause `n`, then with those before it, then with those after it, as far as they belong to `figure`.

    A clause with a figure of the same unit speaks of that one's case.
    """
    yield clauses[n].units
    before = list(takewhile(lambda each: not each.counts(figure.unit), reversed(clauses[:n])))
    yield clauses[n].units.union(*(each.units for each in before))
    after = list(takewhile(lambda each: not each.counts(figure.unit), clauses[n + 1 :]))
    yield clauses[n].units.union(*(each.units for each in before + after))


def _weight(units: frozenset[str]) -> int:
    return sum(FIGURE_WEIGHT if each.startswith("#") else 1 for each in units)


def _bare(clause: str) -> tuple[frozenset[str], Literal[1, -1] | None]:
    """A clause's words without those that forbid or allow, and which it does: -1, 1, or None where that is not plain.

    Neither is plain of a condition, or where one prohibition stands within another.
    """
    plain, forbids = _FORBIDS.subn(" ", clause.lower())
    words, allows = _ALLOWS.subn(" ", plain)
    plainly = forbids < 2 and (forbids or allows) and not _CONDITION.search(clause)
    return content_units(words), (-1 if forbids else 1) if plainly else None
