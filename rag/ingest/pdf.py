"""PDF to text by its text layer: pages joined, so that a paragraph over a page break stays one."""

from __future__ import annotations

import logging
import re
import unicodedata
from dataclasses import replace
from pathlib import Path

from pypdf import PdfReader
from pypdf.errors import PdfReadError

from rag.ingest.document import Document, Unreadable

_PAGE_NUMBER = re.compile(
    r"^\s*(?:[-—–·]*\s*\d{1,4}\s*[-—–·]*|第\s*\d{1,4}\s*页(?:\s*[,，/]?\s*共\s*\d{1,4}\s*页)?|\d{1,4}\s*/\s*\d{1,4})\s*$"
)
# An article is only begun where its name is set off; 第三十六条规定的 at a line's start goes on.
_STARTS = re.compile(
    r"^\s*(?:第[〇零一二三四五六七八九十百千两\d０-９]+(?:条(?:之[一二三四五六七八九十]+)?(?=\s|$)|章|节|编|分编)"
    r"|[（(][一二三四五六七八九十\d]+[）)]|[一二三四五六七八九十]+、|\d+[.、．]|[•·●])"
)
_ENDS = re.compile(r"[。！？；：.!?;:]$")
_RADICAL = re.compile("[\u2e80-\u2fdf\uf900-\ufaff]")
_GARBLED = re.compile("[\ufffd\ue000-\uf8ff]|\\(cid:\\d+\\)")
_UNUSABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def read(path: Path) -> Document:
    """The text layer of the PDF at `path`. Raises Unreadable when it is locked, damaged, empty or scanned."""
    # pypdf reports every oddity of a file that it can still read.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable(
                "invalid_file", "The PDF is protected by a password; save a copy without one and upload that."
            )
        pages = [_lines(page.extract_text()) for page in reader.pages]
    except (Unreadable, MemoryError):
        raise
    except (PdfReadError, Exception) as error:  # pypdf meets damaged files with exceptions of any kind
        raise Unreadable(
            "invalid_file",
            f"The PDF is damaged ({type(error).__name__}); open it in a viewer, save it again and upload that.",
        ) from error
    if not pages:
        raise Unreadable("invalid_file", "The PDF has no pages; upload one that has text.")
    if not any(pages):
        raise Unreadable(
            "invalid_file",
            "The PDF has no text layer, so it looks scanned; run text recognition (OCR) on it and upload the result.",
        )
    document = replace(join(pages), format="pdf")
    if len(_GARBLED.findall(document.text)) > len(document.text) / 5:
        raise Unreadable(
            "invalid_file",
            "The PDF's text layer is garbled (its fonts hide the characters); run text recognition (OCR) on it "
            "and upload the result.",
        )
    return document


def _lines(text: str) -> list[str]:
    """The lines of a page, its page number left out, radicals written as the characters that they stand for."""
    text = _RADICAL.sub(lambda found: unicodedata.normalize("NFKC", found[0]), _UNUSABLE.sub("", text))
    lines = [line.rstrip() for line in text.splitlines()]
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
