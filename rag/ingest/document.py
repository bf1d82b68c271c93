"""A document as extracted text, and why one could not be had."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, Literal

Code = Literal["unsupported_file", "invalid_file", "server_error"]

Box = tuple[int, int, int, int]
"""Where something stands on a page: left, top, right and bottom, in 10,000ths of the page's width and height."""


class Unreadable(Exception):
    """No text could be had from a file; `code` is OpenAI's, the message tells the uploader what to do."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Recognised:
    """The lines that were recognised in the picture of a page, and where each of them stands."""

    lines: list[str]
    boxes: list[Box]


@dataclass(frozen=True, slots=True)
class Document:
    """A file's text, and what its format tells of it.

    `pages` are the offsets at which its pages begin, none where the format has no pages; `ocr` the pages, from 1,
    whose text was recognised from their picture; `headings` the offsets of lines that the format marks as headings,
    with their level from 1; `notes` what its owner should know, a sentence each.
    """

    text: str
    pages: tuple[int, ...] = ()
    format: str = ""
    encoding: str | None = None
    ocr: tuple[int, ...] = ()
    headings: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()

    def page(self, offset: int) -> int | None:
        """The page, from 1, on which the character at `offset` stands."""
        return max(1, bisect_right(self.pages, offset)) if self.pages else None

    def recognised(self, start: int, end: int) -> bool:
        """Whether any of the text at [start:end] was recognised from a picture."""
        first, last = self.page(start), self.page(max(start, end - 1))
        return bool(self.ocr) and any((first or 0) <= each <= (last or 0) for each in self.ocr)

    def facts(self) -> dict[str, Any]:
        """All but the text and its pages, as JSON holds it."""
        return {
            "format": self.format,
            "encoding": self.encoding,
            "ocr": list(self.ocr),
            "headings": [list(each) for each in self.headings],
            "notes": list(self.notes),
        }

    @classmethod
    def of(cls, text: str, pages: list[int], facts: dict[str, Any]) -> Document:
        """The document that has this text, these pages and what `facts` told."""
        return cls(
            text,
            tuple(pages),
            facts.get("format", ""),
            facts.get("encoding"),
            tuple(facts.get("ocr", ())),
            tuple((int(at), int(level)) for at, level in facts.get("headings", ())),
            tuple(facts.get("notes", ())),
        )


class Lines:
    """A text that is written line by line, and where its headings come to stand."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._headings: list[tuple[int, int]] = []
        self._length = 0

    def add(self, line: str, level: int | None = None) -> None:
        """Write a line, which is a heading if it has a level from 1; one without text is left out."""
        if not (line := line.strip()):
            return
        if level is not None:
            self._headings.append((self._length, level))
        self._lines.append(line)
        self._length += len(line) + 1

    def document(self, format: str, encoding: str | None = None) -> Document:  # noqa: A002 - the field's name
        """What was written. Raises Unreadable when that is nothing."""
        if not self._lines:
            raise Unreadable("invalid_file", "The file has no text; upload one that has.")
        return Document("\n".join(self._lines), (), format, encoding, headings=tuple(self._headings))


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span of a document's text; the chunks of a document, in order, hold every character that is not space.

    A heading of a part or chapter is a chunk of its own, kept so that nothing is lost, but not `indexed`: found by
    itself it would answer nothing. `head` is what the chunk goes on from, such as the name of an article and how it
    begins; it is found by that, too. `clause` says with which paragraph and item (第二款第三项) of a long article it begins.
    """

    start: int
    end: int
    law: str | None = None
    article: str | None = None
    version: str | None = None
    path: str = ""
    indexed: bool = True
    head: str = ""
    clause: str | None = None
