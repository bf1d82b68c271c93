"""The text of a cited passage, read from the gateway's page for people.

That page shows a part of the document in its `<main>` element and marks the quoted words there with `<mark>`.
"""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser

_BLOCKS = frozenset({"p", "div", "br", "li", "h1", "h2", "h3", "h4", "section", "blockquote"})


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a document as runs of text; a run is marked where the answer quotes it."""

    runs: tuple[tuple[str, bool], ...]

    @property
    def text(self) -> str:
        return "".join(run for run, _ in self.runs)

    def excerpt(self, around: int) -> Passage:
        """The marked words with whole lines of about `around` characters on either side, and `…` where more was cut."""
        marked = [place for place, (_, is_marked) in enumerate(self.runs) if is_marked]
        if not marked:
            return self
        before = "".join(run for run, _ in self.runs[: marked[0]])
        after = "".join(run for run, _ in self.runs[marked[-1] + 1 :])
        head = _last_lines(before, around)
        tail = _last_lines(after[::-1], around)[::-1]
        runs = ((head, False), *self.runs[marked[0] : marked[-1] + 1], (tail, False))
        return Passage(tuple(run for run in runs if run[0]))


def _last_lines(text: str, limit: int) -> str:
    """The end of `text` from the start of a line, at most `limit` characters where lines are shorter than that."""
    if len(text) <= limit:
        return text
    start = text.find("\n", len(text) - limit) + 1
    return "…" + text[start or len(text) - limit :].lstrip("\n")


def read_passage(page: str) -> Passage | None:
    """The passage on `page`, or None where the page shows none."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    passage = Passage(tuple(reader.runs))
    return passage if passage.text.strip() else None


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.runs: list[tuple[str, bool]] = []
        self._inside = 0
        self._marked = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside += tag == "main"
        self._marked += tag == "mark"
        if tag in _BLOCKS and self.runs and not self.runs[-1][0].endswith("\n"):
            self._add("\n")

    def handle_endtag(self, tag: str) -> None:
        self._inside -= tag == "main"
        self._marked -= tag == "mark"

    def handle_data(self, data: str) -> None:
        self._add(data)

    def _add(self, text: str) -> None:
        if not self._inside:
            return
        if self.runs and self.runs[-1][1] == bool(self._marked):
            text = self.runs.pop()[0] + text
        self.runs.append((text, bool(self._marked)))
