"""A page of a PDF as a picture, with words marked in it. Runs in the bounded process, for whoever made the file may be hostile."""

from __future__ import annotations

import ctypes
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pypdfium2
from PIL import Image, ImageChops, ImageDraw

from rag.ingest.document import Box, Unreadable
from rag.ingest.places import Span, locate

Marked = Literal["words", "lines", "unsure", "none"]
"""What is marked: the words, the recognised lines that hold them, nothing because their place is not sure, or nothing
because none of them stands on the page."""

_PIXELS = 12_000_000
_TALLEST = 6_000  # pixels
_HEAVIEST = 8 << 20  # bytes of PNG
_FILL = (255, 231, 118)
_LINE = (176, 92, 0)
_Rect = tuple[float, float, float, float]  # left, top, right, bottom, in pixels


@dataclass(frozen=True, slots=True)
class Wanted:
    """A page, from 1, drawn `width` pixels wide, and which words of its extracted text `said` to mark.

    Of a recognised page `lines` are the lines and where they stand, in 10,000ths of the page's width and height.
    """

    page: int
    width: int
    said: str = ""
    start: int = 0
    end: int = 0
    recognised: bool = False
    lines: Sequence[tuple[str, Box]] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn page: a PNG, of how many `pages` the file has, what is marked, and where the first mark is, as a share of
    the page's height from its top."""

    png: bytes
    pages: int
    marked: Marked
    top: float | None


def draw(path: Path, wanted: Wanted) -> Picture:
    """Raises Unreadable where the page cannot be drawn, IndexError where there is none of that number."""
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        raise Unreadable(
            "invalid_file", "The PDF cannot be drawn: it is locked or damaged; download the file instead."
        ) from error
    with document:
        pages = len(document)
        if not 1 <= wanted.page <= pages:
            raise IndexError(pages)
        try:
            image, page = _rendered(document[wanted.page - 1], wanted.width)
            marked, rects = _places(page, wanted, image.size)
        except pypdfium2.PdfiumError as error:
            raise Unreadable(
                "invalid_file",
                f"Page {wanted.page} of the PDF is damaged and cannot be drawn; download the file instead.",
            ) from error
    for rect in rects:
        _mark(image, rect)
    top = min((rect[1] for rect in rects), default=None)
    return Picture(_png(image), pages, marked, None if top is None else round(top / image.height, 4))


def _rendered(page: Any, width: int) -> tuple[Image.Image, Any]:
    across, down = (max(1.0, float(each)) for each in page.get_size())
    scale = min(width / across, _TALLEST / down, math.sqrt(_PIXELS / (across * down)))
    return page.render(scale=scale).to_pil().convert("RGB"), page


def _places(page: Any, wanted: Wanted, size: tuple[int, int]) -> tuple[Marked, list[_Rect]]:
    if not wanted.said[wanted.start : wanted.end].strip():
        return "none", []
    if wanted.recognised:
        found = _lines(wanted, size)
        return ("lines", found) if found else ("unsure", [])
    text = page.get_textpage()
    shown, places = _characters(text)
    spans = locate(wanted.said, wanted.start, wanted.end, shown)
    boxes = [_box(page, text, places[at], size) for first, last in spans or () for at in range(first, last)]
    rects = list(_joined(each for each in boxes if each))
    return ("words", rects) if rects else ("unsure", [])


def _lines(wanted: Wanted, size: tuple[int, int]) -> list[_Rect]:
    """The recognised lines that hold the words."""
    ends: list[Span] = []
    at = 0
    for text, _ in wanted.lines:
        ends.append((at, at + len(text)))
        at += len(text) + 1
    spans = locate(wanted.said, wanted.start, wanted.end, "\n".join(text for text, _ in wanted.lines)) or []
    width, height = (each / 10_000 for each in size)
    return [
        (left * width, top * height, right * width, bottom * height)
        for (begin, end), (_, (left, top, right, bottom)) in zip(ends, wanted.lines, strict=True)
        if any(begin < last and first < end for first, last in spans)
    ]


def _characters(text: Any) -> tuple[str, list[int]]:
    """What the page's text layer says, and for each character which of the layer's it is."""
    letters: list[str] = []
    places: list[int] = []
    for place in range(text.count_chars()):
        code = int(pypdfium2.raw.FPDFText_GetUnicode(text.raw, place))
        if 0xDC00 <= code < 0xE000 and letters and 0xD800 <= ord(letters[-1]) < 0xDC00:
            letters[-1] = chr(0x10000 + ((ord(letters[-1]) - 0xD800) << 10) + (code - 0xDC00))
            continue
        letters.append(chr(min(code, 0x10FFFF)))
        places.append(place)
    return "".join(letters), places


def _box(page: Any, text: Any, place: int, size: tuple[int, int]) -> _Rect | None:
    """Where a character stands in the picture; None for one that takes no room in it, such as a space."""
    left, bottom, right, top = text.get_charbox(place, loose=True)
    (x0, y0), (x1, y1) = (_device(page, size, *corner) for corner in ((left, top), (right, bottom)))
    rect = max(0, min(x0, x1)), max(0, min(y0, y1)), min(size[0], max(x0, x1)), min(size[1], max(y0, y1))
    return rect if rect[2] > rect[0] and rect[3] > rect[1] else None


def _device(page: Any, size: tuple[int, int], x: float, y: float) -> tuple[int, int]:
    across, down = ctypes.c_int(), ctypes.c_int()
    pypdfium2.raw.FPDF_PageToDevice(page.raw, 0, 0, *size, 0, x, y, across, down)
    return across.value, down.value


def _joined(boxes: Iterable[_Rect]) -> Iterator[_Rect]:
    """Characters that follow each other on a line as one rectangle."""
    last: _Rect | None = None
    for box in boxes:
        height = box[3] - box[1]
        if last is None:
            last = box
        elif (
            min(last[3], box[3]) - max(last[1], box[1]) > height / 2
            and -height / 2 <= box[0] - last[2] <= 1.5 * height
        ):
            last = last[0], min(last[1], box[1]), max(last[2], box[2]), max(last[3], box[3])
        else:
            yield last
            last = box
    if last is not None:
        yield last


def _mark(image: Image.Image, rect: _Rect) -> None:
    """As with a marker pen: the paper takes its colour and the letters stay, with a line below for whoever sees no colour."""
    left, top, right, bottom = (
        math.floor(rect[0]),
        math.floor(rect[1]),
        math.ceil(rect[2]),
        math.ceil(rect[3]),
    )
    area = left, top, min(right, image.width), min(bottom, image.height)
    part = image.crop(area)
    image.paste(ImageChops.multiply(part, Image.new("RGB", part.size, _FILL)), area)
    thick = max(1, image.width // 600)
    ImageDraw.Draw(image).rectangle((area[0], area[3] - thick, area[2] - 1, area[3] - 1), fill=_LINE)


def _png(image: Image.Image) -> bytes:
    """The picture as PNG, made smaller where it would be too heavy: a scan of noise hardly packs."""
    while True:
        out = io.BytesIO()
        image.save(out, "PNG", compress_level=6)
        if len(content := out.getvalue()) <= _HEAVIEST:
            return content
        image = image.resize((max(1, image.width * 7 // 10), max(1, image.height * 7 // 10)))
