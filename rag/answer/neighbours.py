"""What a passage found leaves open: the rest of an article that was too long for one, and the articles that it refers to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from rag.answer.statutes import Reference, canonical_article, preceding, read_numeral, references, same_law
from rag.passages import Hit, Passage

LOOKED_AT = 3  # of the best hits
MOST = 4

_ARTICLES_BEFORE = re.compile(r"前(?P<count>[两二三四五])?条(?!件)")


class Articles(Protocol):
    """Where articles are looked up (rag/library.py)."""

    async def in_file(self, store_id: str, file_id: str, articles: Sequence[str]) -> list[Passage]: ...

    async def article(self, store_ids: Sequence[str], law: str | None, article: str) -> Passage | None: ...


async def neighbours(hits: Sequence[Hit], articles: Articles, elsewhere: Sequence[str] = ()) -> list[Hit]:
    """The neighbours of the best `hits`, which they are none of; `elsewhere` are the stores in which another law that a
    passage refers to is looked up. They score as the last hit: they were not searched for.
    """
    known = {each.passage.id for each in hits}
    found: dict[int, Passage] = {}
    for hit in hits[:LOOKED_AT]:
        if hit.passage.article is None:
            continue
        for each in await _beside(hit.passage, articles, elsewhere):
            if each.id not in known:
                found.setdefault(each.id, each)
    least = min((each.score for each in hits), default=0.0)
    return [Hit(each, least) for each in list(found.values())[:MOST]]


async def _beside(passage: Passage, articles: Articles, elsewhere: Sequence[str]) -> list[Passage]:
    """The other parts of the passage's article, nearest first, then what it refers to, in its order."""
    own = canonical_article(passage.article or "")
    named = [each for each in references(passage.text, law=passage.law) if each.article]
    here = [each.article for each in named if each.article and _is_own(each, passage)]
    for before in _ARTICLES_BEFORE.finditer(passage.text):
        here += preceding(own, read_numeral(before["count"] or "一") or 1)
    wanted = list(dict.fromkeys([own, *here]))
    held = await articles.in_file(passage.store_id, passage.file_id, wanted)
    beside = [
        each
        for article in wanted
        for each in sorted(held, key=lambda one: abs(one.start - passage.start))
        if canonical_article(each.article or "") == article
    ]
    for each in named:
        if each.own_law and each.article and elsewhere and not _is_own(each, passage):
            other = await articles.article(elsewhere, each.law, each.article)
            beside += [other] if other is not None else []
    return beside


def _is_own(reference: Reference, passage: Passage) -> bool:
    return reference.law is None or passage.law is None or same_law(reference.law, passage.law)
