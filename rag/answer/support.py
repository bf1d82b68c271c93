"""Does this passage say what this sentence says? Decided by words, figures, named articles and embeddings; no model call.

A sentence is supported by a passage when all of these hold:

- every figure in it stands in the passage or in the question (150% and 百分之一百五十 are one figure);
- where it names articles, the passage is one of them, or names one of them itself;
- the passage states its figures of the same case, and does not forbid what it allows (see rag/answer/clauses.py);
- *coverage*, the share of its content found in the passage (character bigrams for Chinese, words otherwise, and
  each figure as much as three of them), plus *similarity*, the embedding's 0 to 1, reaches `SUPPORT`.

`SUPPORT` was set on 40 sentences about four labour statutes, each against the six best passages: 22 of 25 true
sentences pass, none of the 15 wrong ones does unless the passage holds its very words. A passage with a lower
coverage than `SUPPORT - 1` can never pass, so the embedding is asked about few.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from rag.answer.clauses import Clauses
from rag.answer.content import FIGURE_WEIGHT, content_units, is_han
from rag.answer.statutes import (
    Reference,
    canonical_article,
    quantities,
    references,
    same_law,
)
from rag.passages import Passage

SUPPORT = 1.47
LEAST_CONTENT = 4  # units: 是的 says nothing that a source could support

Reason = Literal["words", "figures", "case", "turned", "article", "language"]
Similarity = Callable[[Sequence[str], Sequence[str]], Awaitable[list[list[float]]]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the check of one sentence against one passage found.

    `figures` are those that the passage lacks or states of another case; `clause` is what it says the other way round.
    """

    supported: bool
    strength: float  # coverage + similarity, 0 to 2; coverage alone where the embedding was not asked
    reason: Reason = "words"
    figures: tuple[str, ...] = ()
    named: tuple[Reference, ...] = ()
    clause: str = ""

    @property
    def may_pass(self) -> bool:
        """Whether the words leave it to the embedding."""
        return not self.supported and self.reason == "words" and self.strength >= SUPPORT - 1


@dataclass(frozen=True)
class _Source:
    passage: Passage

    @cached_property
    def units(self) -> frozenset[str]:
        return content_units(f"{self.passage.path}\n{self.passage.text}")

    @cached_property
    def clauses(self) -> Clauses:
        return Clauses(self.passage.text)

    @cached_property
    def figures(self) -> frozenset[float]:
        return frozenset(quantities(f"{self.passage.version or ''}\n{self.passage.text}", every=True))

    @cached_property
    def articles(self) -> frozenset[tuple[str, str]]:
        """The passage's own article and those that it refers to, each with its law."""
        own = self.passage.law or self.passage.filename.rpartition(".")[0] or self.passage.filename
        named = {(each.law or own, each.article) for each in references(self.passage.text) if each.article}
        if self.passage.article:
            named.add((own, canonical_article(self.passage.article)))
        return frozenset(named)


class Support:
    """The check, for the passages and the question of one answer."""

    def __init__(self, passages: Sequence[Passage], question: str, similarity: Similarity) -> None:
        self._sources = [_Source(passage) for passage in passages]
        self._asked = quantities(question, every=True).keys()
        self._similarity = similarity
        self.laws = frozenset(passage.law for passage in passages if passage.law)

    def coverage(self, sentence: str) -> list[float]:
        """For each passage, the share of the sentence's content that stands in it, 0 to 1."""
        units, figures = content_units(sentence), quantities(sentence)
        weight = len(units) + FIGURE_WEIGHT * len(figures)
        return [
            (len(units & each.units) + FIGURE_WEIGHT * len(figures.keys() & each.figures)) / weight
            if weight
            else 0.0
            for each in self._sources
        ]

    async def check(self, sentence: str, law: str | None = None) -> list[Verdict]:
        """One verdict per passage; `law` is the one that the answer named last before the sentence."""
        named = [each for each in references(sentence, self.laws, law) if each.article]
        units, figures = content_units(sentence), quantities(sentence)
        verdicts = [
            self._by_words(source, coverage, sentence, units, figures, named)
            for source, coverage in zip(self._sources, self.coverage(sentence), strict=True)
        ]
        if len(units) + len(figures) < LEAST_CONTENT:
            return verdicts
        candidates = [n for n, each in enumerate(verdicts) if each.may_pass]
        if candidates:
            texts = [self._sources[n].passage.text for n in candidates]
            for n, similarity in zip(candidates, (await self._similarity([sentence], texts))[0], strict=True):
                strength = verdicts[n].strength + similarity
                verdicts[n] = Verdict(strength >= SUPPORT, strength)
        return verdicts

    def _by_words(
        self,
        source: _Source,
        coverage: float,
        sentence: str,
        units: frozenset[str],
        figures: dict[float, str],
        named: Sequence[Reference],
    ) -> Verdict:
        if named and not any(_is(source, each) for each in named):
            return Verdict(False, coverage, "article", named=tuple(named))
        if named and not units and not figures:
            return Verdict(True, 2.0)  # it names the passage and says no more, as a list of sources does
        missing = [written for value, written in figures.items() if value not in source.figures | self._asked]
        if missing:
            return Verdict(False, coverage, "figures", figures=tuple(missing))
        if not coverage and units and source.units and is_han(units) != is_han(source.units):
            return Verdict(False, coverage, "language")
        if coverage >= SUPPORT - 1:
            if misplaced := source.clauses.misplaced(sentence):
                return Verdict(False, coverage, "case", figures=tuple(misplaced))
            if turned := source.clauses.turned(sentence):
                return Verdict(False, coverage, "turned", clause=turned)
        return Verdict(False, coverage)


def _is(source: _Source, reference: Reference) -> bool:
    """Whether the passage is the article named, or refers to it. A bare number may mean any law's article."""
    return any(
        article == reference.article and (not reference.own_law or same_law_in(law, reference.law or law))
        for law, article in source.articles
    )


def same_law_in(source: str, named: str) -> bool:
    """As `same_law`, but a name in Latin script cannot be compared with a Chinese one, and passes."""
    return same_law(source, named) or (named.isascii() and not source.isascii())
