"""Pages of PDFs as pictures, drawn when they are asked for and never kept, so that nothing outlives its file."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from praxis.errors import InvalidRequest, NotFound, Overloaded
from rag.files import File, Files
from rag.ingest.document import Document
from rag.ingest.worker import Limits, answered, child

_AT_ONCE = 2
_WAITING = 16
"""Pages that may wait to be drawn; whoever comes beyond is asked to come again."""
_HEAD = 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """A page, from 1, `width` pixels wide, with the words [start:end] of the file's extracted text marked."""

    page: int
    width: int
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """A page as PNG, how many `pages` the file has, what is marked (`rag.ingest.picture.Marked`) and at which share of the
    page's height, and the first and last page on which the words stand."""

    png: bytes
    pages: int
    marked: str
    top: float | None
    passage: tuple[int, int] | None


class Pictures:
    """Draws pages in bounded processes, a few at once."""

    def __init__(self, files: Files, limits: Limits) -> None:
        self._files = files
        self._limits = limits
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def draw(self, file: File, asked: Asked) -> Picture:
        """Raises NotFound, InvalidRequest where the file has no such page or it cannot be drawn, and Overloaded."""
        document = await asyncio.to_thread(self._document, file, asked)
        wanted, passage = await asyncio.to_thread(self._wanted, file.id, document, asked)
        if self._waiting >= _WAITING:
            raise Overloaded("Too many pages are being drawn; ask again shortly.", retry_after=2)
        self._waiting += 1
        try:
            async with self._room, self._files.fetched(file.id) as path:
                await asyncio.to_thread(_check, path, file)
                answer = await self._drawn(path, wanted)
        finally:
            self._waiting -= 1
        if error := answer.get("error"):
            raise InvalidRequest(str(error), param="page")
        if "png" not in answer:
            raise NotFound(
                f"`{file.filename}` has {answer['pages']} pages, no page {asked.page}.", param="page"
            )
        return Picture(
            base64.b64decode(answer["png"]), answer["pages"], answer["marked"], answer["top"], passage
        )

    def _document(self, file: File, asked: Asked) -> Document | None:
        """The file's text, as far as it was read; it must hold what is to be marked."""
        document = self._files.document(file.id)
        if asked.end and (document is None or not 0 <= asked.start <= asked.end <= len(document.text)):
            raise InvalidRequest(
                "`start` and `end` must be a span of the file's extracted text.", param="start"
            )
        return document

    def _wanted(
        self, file_id: str, document: Document | None, asked: Asked
    ) -> tuple[bytes, tuple[int, int] | None]:
        """What the drawing process is told, and on which pages the words stand."""
        told: dict[str, object] = {"page": asked.page, "width": asked.width, "lines": []}
        if document is None or not asked.end or not document.pages:
            return json.dumps(told).encode(), None
        text, number = document.text, asked.page
        passage = document.page(asked.start) or 1, document.page(max(asked.start, asked.end - 1)) or 1
        if passage[0] <= number <= passage[1]:
            begin = document.pages[number - 1]
            stop = document.pages[number] if number < len(document.pages) else len(text)
            told |= {
                "said": text[begin:stop],
                "start": max(0, asked.start - begin),
                "end": min(stop, asked.end) - begin,
                "recognised": number in document.ocr,
                "lines": self._files.lines(file_id, number) if number in document.ocr else [],
            }
        return json.dumps(told).encode(), passage

    async def _drawn(self, path: Path, wanted: bytes) -> dict[str, Any]:
        bounds = str(self._limits.picture_memory), str(self._limits.picture_processor)
        try:
            async with (
                asyncio.timeout(self._limits.picture_wall),
                child("draw", str(path), *bounds, stdin=asyncio.subprocess.PIPE) as drawing,
            ):
                assert drawing.stdin is not None
                drawing.stdin.write(wanted)
                drawing.stdin.close()
                answer = await answered(drawing)
        except TimeoutError:
            answer = None
        if answer is None:
            return {"error": "Drawing the page takes more than a page should; download the file instead."}
        return answer


def _check(path: Path, file: File) -> None:
    """Raises InvalidRequest where the file is no PDF."""
    with path.open("rb") as content:
        head = content.read(_HEAD)
    if b"%PDF-" not in head:
        raise InvalidRequest(
            f"`{file.filename}` is no PDF, so it has no pages to look at; "
            f"read its text with `GET /v1/files/{file.id}/content`.",
            param="file_id",
        )
