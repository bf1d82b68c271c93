"""From an answer as the model writes it to one whose markers and citations hold, whole or in deltas.

The number of a marker is the passage's place in the prompt, so that text and list agree from the first delta on.
Markers that the model wrote are checked against their sentence; a finished sentence without one gets the marker of
the passage that supports it best, if any does (see rag/answer/support.py for the check).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from rag.answer.prompts import WORDING, Language, heading
from rag.answer.scanner import Mark, Scanner, Sentence
from rag.answer.statutes import Reference, canonical_article, references, short_name
from rag.answer.support import Similarity, Support, Verdict, same_law_in
from rag.passages import Hit, Passage

ATTRIBUTED = "attributed"
_QUOTED_SENTENCE = 60  # characters of a sentence that a note repeats

FindArticle = Callable[[str | None, str], Awaitable[Passage | None]]
"""Looks an article up by law (None: any) and canonical number in the knowledge bases of this answer."""

PassageLink = Callable[[Passage], str]
"""The URL of a page for people that shows this passage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A passage that the model was shown under a number, its marker, in the terms of the wire (docs: grounded answers)."""

    marker: int
    file_id: str
    filename: str
    page: int | None
    law: str | None
    article: str | None
    version: str | None
    quote: str
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation(Source):
    """One that the answer cites."""

    verified: bool
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncited(Source):
    """One of an answer that cites none; `url` is the page for people that shows it."""

    url: str


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where a marker stands in an answer (characters), and the page for people that shows what it points to."""

    marker: int
    start: int
    end: int
    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an answer's message carries beside its text.

    `unverified` lists the laws and articles that the answer names and the knowledge base lacks, each with the
    heading of the nearest real passage. `uncited` is what was found, best first, for an answer that cites none of it.
    """

    citations: list[Citation] = field(default_factory=list)
    pointers: list[Pointer] = field(default_factory=list)
    unverified: list[dict[str, str | None]] = field(default_factory=list)
    uncited: list[Uncited] = field(default_factory=list)

    def fields(self) -> dict[str, Any]:
        """The keys to merge into a message, or to send in one delta."""
        return {
            "citations": [asdict(citation) for citation in self.citations],
            "annotations": [_url_citation(each) for each in self.pointers],
            "unverified": self.unverified,
            "uncited": [asdict(each) for each in self.uncited],
        }


class Reading(Protocol):
    """What an answer's text goes through on its way to the client."""

    async def feed(self, text: str) -> str: ...

    async def close(self, *, complete: bool) -> str: ...

    async def evidence(self) -> Evidence: ...


@dataclass(frozen=True, slots=True)
class Untouched:
    """For an answer in a form of the client's own (`response_format`), where an inserted marker would break it.

    Its text passes as it is, and its citations are all passages that the model was shown, unverified.
    """

    hits: Sequence[Hit]
    language: Language

    async def feed(self, text: str) -> str:
        return text

    async def close(self, *, complete: bool) -> str:
        return ""

    async def evidence(self) -> Evidence:
        note = WORDING[self.language].unchecked
        return Evidence([cite(n, hit, verified=False, note=note) for n, hit in enumerate(self.hits, start=1)])


@dataclass(slots=True)
class Annotator:
    """One answer on its way through; feed it the model's text in any pieces, close it, then ask for the evidence."""

    hits: Sequence[Hit]
    question: str
    language: Language
    similarity: Similarity
    find_article: FindArticle
    link: PassageLink
    _support: Support = field(init=False)
    _scanner: Scanner = field(init=False)
    _length: int = field(init=False, default=0)  # characters given out so far
    _marks: list[tuple[int, int]] = field(init=False, default_factory=list)  # number, where it stands
    _uses: dict[int, list[str | None]] = field(init=False, default_factory=dict)  # per marker: a note per use
    _named: dict[Reference, str | None] = field(
        init=False, default_factory=dict
    )  # and the heading nearest to it
    _law: str | None = field(init=False, default=None)  # the one named last

    def __post_init__(self) -> None:
        self._support = Support([hit.passage for hit in self.hits], self.question, self.similarity)
        self._scanner = Scanner(len(self.hits))

    async def feed(self, text: str) -> str:
        """What may be shown after the next piece; no marker is ever cut in two."""
        return await self._annotate(self._scanner.feed(text))

    async def close(self, *, complete: bool) -> str:
        """What was still held back; `complete` says that the model ended of its own accord."""
        return await self._annotate(self._scanner.close(complete=complete))

    async def _annotate(self, items: Iterable[str | Mark | Sentence]) -> str:
        out: list[str] = []
        for item in items:
            if isinstance(item, Sentence):
                attributed = await self._judge(item)
                if attributed is not None:
                    out.append(self._write(Mark(attributed)))
                out += [self._write(piece) for piece in item.tail]
            else:
                out.append(self._write(item))
        return "".join(out)

    def _write(self, piece: str | Mark) -> str:
        text = str(piece)
        if isinstance(piece, Mark):
            self._marks.append((piece.number, self._length))
        self._length += len(text)
        return text

    async def _judge(self, sentence: Sentence) -> int | None:
        """Check the sentence's markers; for one without any, the number of the passage that supports it."""
        law = self._law
        self._note_references(sentence.text)
        if not sentence.claims:
            return await self._attribute(sentence, law) if sentence.finished else None
        whole = await self._support.check(sentence.text, law)
        parts = {
            claim: await self._support.check(claim, law) for _, claim in sentence.claims if claim.strip()
        }
        for number, claim in sentence.claims:
            supported = whole[number - 1].supported or (claim in parts and parts[claim][number - 1].supported)
            note = None if supported else self._note(number, sentence.text, whole)
            self._uses.setdefault(number, []).append(note)
        return None

    async def _attribute(self, sentence: Sentence, law: str | None) -> int | None:
        verdicts = await self._support.check(sentence.text, law)
        supporting = [n for n, verdict in enumerate(verdicts) if verdict.supported]
        if not supporting:
            return None
        number = max(supporting, key=lambda n: (verdicts[n].strength, -n)) + 1
        self._uses.setdefault(number, []).append(ATTRIBUTED)
        return number

    def _note(self, number: int, sentence: str, verdicts: Sequence[Verdict]) -> str:
        words, verdict = WORDING[self.language], verdicts[number - 1]
        said = sentence.strip() or str(Mark(number))
        said = said if len(said) <= _QUOTED_SENTENCE else f"{said[:_QUOTED_SENTENCE]}…"
        match verdict.reason:
            case "language":
                return words.other_language
            case "figures":
                figures = ", ".join(verdict.figures)
                note = words.unsupported_figures.format(sentence=said, figures=figures)
            case "case":
                figures = ", ".join(verdict.figures)
                note = words.other_case.format(sentence=said, figures=figures)
            case "turned":
                note = words.turned.format(clause=verdict.clause)
            case "article":
                named = ", ".join(
                    _name(each.law if each.own_law else None, each.article) for each in verdict.named
                )
                note = words.unsupported_article.format(sentence=said, named=named)
            case _:
                note = words.unsupported.format(sentence=said)
        better = [n for n, each in enumerate(verdicts) if each.supported]
        if better:
            best = max(better, key=lambda n: verdicts[n].strength)
            note += words.nearer.format(heading=heading(self.hits[best].passage, self.language))
        return note

    def _note_references(self, text: str) -> None:
        named = references(text, self._support.laws, self._law)
        if not named:
            return
        self._law = named[-1].law
        coverage = self._support.coverage(text)
        nearest = max(range(len(coverage)), key=lambda n: (coverage[n], -n), default=None)
        near = heading(self.hits[nearest].passage, self.language) if nearest is not None else None
        for reference in named:
            self._named.setdefault(reference, near)

    async def evidence(self) -> Evidence:
        """The citations of the markers given out, where they stand, and what the answer named without ground."""
        cited = [(number, self.hits[number - 1]) for number in sorted(self._uses)]
        return Evidence(
            [self._citation(number, hit, self._uses[number]) for number, hit in cited],
            [self._pointer(number, at) for number, at in self._marks],
            [
                {"law": reference.law, "article": reference.article, "nearest": near}
                for reference, near in self._named.items()
                if not await self._exists(reference)
            ],
            [] if cited or not self._length else self._uncited(),
        )

    @staticmethod
    def _citation(number: int, hit: Hit, notes: Sequence[str | None]) -> Citation:
        failed = [note for note in notes if note not in (None, ATTRIBUTED)]
        note = failed[0] if failed else ATTRIBUTED if all(note == ATTRIBUTED for note in notes) else None
        return cite(number, hit, verified=not failed, note=note)

    def _uncited(self) -> list[Uncited]:
        numbered = enumerate(self.hits, start=1)
        return [Uncited(**_facts(number, hit), url=self.link(hit.passage)) for number, hit in numbered]

    def _pointer(self, number: int, at: int) -> Pointer:
        passage = self.hits[number - 1].passage
        end = at + len(str(Mark(number)))
        return Pointer(number, at, end, heading(passage, self.language), self.link(passage))

    async def _exists(self, reference: Reference) -> bool:
        """Whether the passages shown, or the knowledge base, have what the answer names."""
        if any(_holds(hit.passage, reference) for hit in self.hits):
            return True
        law = reference.law
        if law and law.isascii() and not any(known.isascii() for known in self._support.laws):
            law = None  # an English name of a Chinese law: only its number can be looked up
        # Every statute has a first article: a law that is named alone is looked up by it.
        return await self.find_article(law, reference.article or "第一条") is not None


def _holds(passage: Passage, reference: Reference) -> bool:
    source = passage.law or passage.filename.rpartition(".")[0] or passage.filename
    same = reference.law is None or same_law_in(source, reference.law)
    if reference.article is None:
        return same or short_name(reference.law or "") in passage.text
    own = passage.article is not None and canonical_article(passage.article) == reference.article
    return own and (same or not reference.own_law)


def cite(number: int, hit: Hit, *, verified: bool, note: str | None) -> Citation:
    """The citation of passage `number`, whose quote is its exact text."""
    return Citation(**_facts(number, hit), verified=verified, note=note)


def _facts(number: int, hit: Hit) -> dict[str, Any]:
    """The fields of a Source."""
    passage = hit.passage
    return {
        "marker": number,
        "file_id": passage.file_id,
        "filename": passage.filename,
        "page": passage.page,
        "law": passage.law,
        "article": passage.article,
        "version": passage.version,
        "quote": passage.text,
        "start": passage.start,
        "end": passage.end,
        "score": round(hit.score, 4),
    }


def _url_citation(pointer: Pointer) -> dict[str, Any]:
    shown = {
        "start_index": pointer.start,
        "end_index": pointer.end,
        "title": pointer.title,
        "url": pointer.url,
    }
    return {"type": "url_citation", "url_citation": shown}


def _name(law: str | None, article: str | None) -> str:
    return (f"《{short_name(law)}》" if law else "") + (article or "")
