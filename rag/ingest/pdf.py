"""PDF to text by its text layer: pages joined, so that a paragraph over a page break stays one."""

from __future__ import annotations

import itertools
import logging
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pypdfium2
from pypdf import PdfReader
from pypdf.errors import LimitReachedError, PdfReadError

from rag.ingest.document import Document, Unreadable
from rag.ingest.radicals import written
from rag.ingest.text import chinese_share

_PAGE_NUMBER = re.compile(
    r"^\s*(?:[-—–·]*\s*\d{1,4}\s*[-—–·]*|第\s*\d{1,4}\s*页(?:\s*[,，/]?\s*共\s*\d{1,4}\s*页)?|\d{1,4}\s*/\s*\d{1,4})\s*$"
)
# An article is only begun where its name is set off; 第三十六条规定的 at a line's start goes on.
_STARTS = re.compile(
    r"^\s*(?:第[〇零一二三四五六七八九十百千两\d０-９]+(?:条(?:之[一二三四五六七八九十]+)?(?=\s|$)|章|节|编|分编)"
    r"|[（(][一二三四五六七八九十\d]+[）)]|[一二三四五六七八九十]+、|\d+[.、．]|[•·●])"
)
_ENDS = re.compile(r"[。！？；：.!?;:]$")
_GARBLED = re.compile("[\ufffd\ue000-\uf8ff]|\\(cid:\\d+\\)|/g\\d{1,5}(?=/|$)")
_HAN = re.compile("[\u3400-\u9fff]")
_ACCENTED = re.compile("[\u0080-\u00ff]")
_RULED = re.compile(r"([.\-_=*·…])\1{9}")  # a table of contents, a form to be filled in
_NONE, _FEW = 16, 200
"""Characters: fewer are no text, and fewer than the other may be a stamp upon a scanned page."""
MAX_PAGES = 20_000
MAX_RECOGNISED = 1_000
"""Pages whose text is recognised in one file; at some seconds each."""
_UNUSABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Layer:
    """A PDF's text layer: the lines of each page, and the pages, from 1, whose text must be recognised instead."""

    pages: list[list[str]]
    unread: tuple[int, ...]

    def document(self, recognised: Mapping[int, list[str]], lost: Sequence[int] = ()) -> Document:
        """The document with the lines of the `recognised` pages in their place; `lost` ones could not be.

        Raises Unreadable when there is no text at all.
        """
        seen = {number: _lines("\n".join(lines)) for number, lines in recognised.items()}
        pages = [
            max((seen.get(number, []), lines), key=lambda each: sum(map(len, each)))
            for number, lines in enumerate(self.pages, 1)
        ]
        if not any(pages):
            raise Unreadable(
                "invalid_file",
                "The PDF has no text: no text layer, and none was recognised (OCR) in the pictures of its pages; "
                "scan it again with more contrast, or upload the text itself.",
            )
        read = [number for number, lines in seen.items() if lines and pages[number - 1] is lines]
        notes = tuple(f"Page {each} could not be read: recognising its text failed." for each in lost)
        return replace(join(pages), format="pdf", ocr=tuple(sorted(read)), notes=notes)


def read(path: Path) -> Layer:
    """The text layer of the PDF at `path`. Raises Unreadable when it is locked, damaged, empty or too long."""
    # pypdf reports every oddity of a file that it can still read.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable(
                "invalid_file", "The PDF is protected by a password; save a copy without one and upload that."
            )
        if (count := len(reader.pages)) > MAX_PAGES:
            raise Unreadable(
                "invalid_file", f"The PDF has {count:,} pages, more than {MAX_PAGES:,}; split it."
            )
        texts = [page.extract_text() for page in reader.pages]
        unread = _unread(path, texts)
    except (Unreadable, MemoryError):
        raise
    except LimitReachedError as error:
        raise Unreadable(
            "invalid_file",
            "A part of the PDF unfolds to more than a page may hold; save it again, or without what makes it so large.",
        ) from error
    except (PdfReadError, Exception) as error:  # pypdf meets damaged files with exceptions of any kind
        raise Unreadable(
            "invalid_file",
            f"The PDF is damaged ({type(error).__name__}); open it in a viewer, save it again and upload that.",
        ) from error
    if not texts:
        raise Unreadable("invalid_file", "The PDF has no pages; upload one that has text.")
    if len(unread) > MAX_RECOGNISED:
        raise Unreadable(
            "invalid_file",
            f"{len(unread):,} pages of the PDF are pictures, more than the {MAX_RECOGNISED:,} that are recognised "
            "(OCR) in one file; split it.",
        )
    # What is garbled is nothing to fall back on.
    return Layer([[] if is_garbled(each) else _lines(each) for each in texts], tuple(unread))


def _unread(path: Path, texts: Sequence[str]) -> list[int]:
    """The pages whose layer holds no usable text though something stands on them."""
    bare = ["".join(_PAGE_NUMBER.sub("", each).split()) for each in texts]
    few = [number for number, each in enumerate(bare, 1) if len(each) < _FEW]
    garbled = [number for number, each in enumerate(texts, 1) if is_garbled(each)]
    if not few:
        return garbled
    with pypdfium2.PdfDocument(path) as opened:
        pictured = [number for number in few if _is_picture(opened[number - 1], len(bare[number - 1]))]
    return sorted({*garbled, *pictured})


def _is_picture(page: Any, characters: int) -> bool:
    """Whether what stands on a page is not in the `characters` of its layer: a scan, letters drawn as outlines."""
    if characters >= _NONE:
        return _covered(page) > 0.5
    kinds = [each.type for each in itertools.islice(page.get_objects(), 1000)]
    drawn = kinds.count(pypdfium2.raw.FPDF_PAGEOBJ_PATH)
    return bool(kinds) and (not characters or pypdfium2.raw.FPDF_PAGEOBJ_IMAGE in kinds or drawn > 20)


def _covered(page: Any) -> float:
    """The share of a page that its largest picture covers, 0 to 1."""
    width, height = page.get_size()
    largest = 0.0
    for each in page.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE]):
        left, bottom, right, top = each.get_bounds()
        largest = max(largest, (min(right, width) - max(left, 0)) * (min(top, height) - max(bottom, 0)))
    return largest / (width * height or 1)


def is_garbled(text: str) -> bool:
    """Whether the text of a page is not what stands on it: its fonts hide the characters, or their codes were
    misread."""
    bare = "".join(text.split())
    if len(bare) < 20:
        return False
    if len(_GARBLED.findall(bare)) + len(_UNUSABLE.findall(bare)) > len(bare) / 8:
        return True
    han = len(_HAN.findall(bare))
    if han > len(bare) / 3 and han >= 40:
        return (chinese_share("".join(_HAN.findall(bare))) or 0.0) < 0.15
    # GBK or UTF-8 read as Latin-1; or glyph numbers that came out as any signs of ASCII.
    latin = len(_ACCENTED.findall(bare))
    signs = sum(each.isascii() and not each.isalnum() for each in bare)
    return latin > 0.3 * len(bare) or (signs > 0.55 * len(bare) and not _RULED.search(bare))


def _lines(text: str) -> list[str]:
    """The lines of a page, its page number left out, radicals written as the characters that they stand for."""
    lines = [line.rstrip() for line in written(_UNUSABLE.sub("", text)).splitlines()]
    while lines and (not lines[0] or _PAGE_NUMBER.match(lines[0])):
        lines.pop(0)
    while lines and (not lines[-1] or _PAGE_NUMBER.match(lines[-1])):
        lines.pop()
    return lines


def join(pages: list[list[str]]) -> Document:
    """Pages of lines as one text, lines that only the margin broke made one again, also across a page break."""
    full = 0.8 * _width(pages)
    parts: list[str] = []
    starts: list[int] = []
    length = 0
    last = ""
    for lines in pages:
        starts.append(length)
        for index, line in enumerate(lines):
            if parts:
                glue = _glue(last, line, full)
                parts.append(glue)
                length += len(glue)
                if index == 0:
                    starts[-1] = length
            parts.append(line)
            length += len(line)
            last = line
    return Document("".join(parts), tuple(starts))


def _width(pages: list[list[str]]) -> float:
    """How many columns a full line has: the ninth decile over all lines."""
    widths = sorted(_columns(line) for lines in pages for line in lines if line)
    return widths[int(0.9 * (len(widths) - 1))] if widths else 0


def _columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line)


def _glue(last: str, line: str, full: float) -> str:
    """What stands between two lines: nothing or a space inside a paragraph, else a line end."""
    if not last or not line or _columns(last) < full or _ENDS.search(last) or _STARTS.match(line):
        return "\n"
    latin = last[-1].isascii() and last[-1].isalnum() and line[0].isascii() and line[0].isalnum()
    return " " if latin else ""
