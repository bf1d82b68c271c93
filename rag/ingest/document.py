"""A document as extracted text, and why one could not be had."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal

Code = Literal["unsupported_file", "invalid_file", "server_error"]


class Unreadable(Exception):
    """No text could be had from a file; `code` is OpenAI's, the message tells the uploader what to do."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Document:
    """A file's text; `pages` are the offsets at which its pages begin, none where the format has no pages."""

    text: str
    pages: tuple[int, ...] = ()

    def page(self, offset: int) -> int | None:
        """The page, from 1, on which the character at `offset` stands."""
        return max(1, bisect_right(self.pages, offset)) if self.pages else None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span of a document's text; the chunks of a document, in order, hold every character that is not space.

    A heading of a part or chapter is a chunk of its own, kept so that nothing is lost, but not `indexed`: found by
    itself it would answer nothing.
    """

    start: int
    end: int
    law: str | None = None
    article: str | None = None
    version: str | None = None
    path: str = ""
    indexed: bool = True
