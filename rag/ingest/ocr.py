"""Recognising the text of a page that is only a picture. Its models load where this runs: in the reading process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pypdfium2

from rag.ingest.document import Box, Recognised

_RESOLUTION = 150 / 72
"""Pixels per point: 150 dpi, at which body text is as high as what the models were trained on."""
_LONGEST = 2400
"""Pixels of a page's longer side at most, whatever size it claims."""


@dataclass(frozen=True, slots=True)
class _Box:
    """A run of text and where it stands, in pixels."""

    text: str
    left: float
    right: float
    top: float
    bottom: float


def recognise(path: Path, pages: Sequence[int]) -> Iterator[tuple[int, Recognised]]:
    """The lines of each of `pages`, from 1, of the PDF at `path`, as each is done."""
    engine = _engine()
    with pypdfium2.PdfDocument(path) as document:
        for number in pages:
            page = document[number - 1]
            scale = min(_RESOLUTION, _LONGEST / max(1.0, *page.get_size()))
            picture = page.render(scale=scale).to_numpy()
            found = engine(picture, use_cls=False)
            boxes = [] if found.boxes is None else zip(found.boxes, found.txts, strict=True)
            rows = _rows([_box(corners, text) for corners, text in boxes])
            height, width = picture.shape[:2]
            places = [_place(each, width, height) for each in rows]
            yield number, Recognised([_line(each) for each in rows], places)


def _engine() -> Any:
    from rapidocr import RapidOCR

    # Two files may be read at once, beside whatever else this machine does.
    threads = max(1, (os.cpu_count() or 2) // 2)
    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


def _box(corners: Any, text: str) -> _Box:
    across, down = [float(x) for x, _ in corners], [float(y) for _, y in corners]
    return _Box(text, min(across), max(across), min(down), max(down))


def lines(boxes: Sequence[_Box]) -> list[str]:
    """Boxes as lines of text from top to bottom; those at one height are one line, with a space at a gap."""
    return [_line(each) for each in _rows(boxes)]


def _rows(boxes: Sequence[_Box]) -> list[list[_Box]]:
    rows: list[list[_Box]] = []
    for box in sorted(boxes, key=lambda each: each.top + each.bottom):
        middle = (box.top + box.bottom) / 2
        if rows and any(each.top < middle < each.bottom for each in rows[-1]):
            rows[-1].append(box)
        else:
            rows.append([box])
    return [sorted(each, key=lambda box: box.left) for each in rows]


def _place(row: Sequence[_Box], width: int, height: int) -> Box:
    """Where a line stands on its page."""
    left, right = min(each.left for each in row) / width, max(each.right for each in row) / width
    top, bottom = min(each.top for each in row) / height, max(each.bottom for each in row) / height
    within = (min(10_000, max(0, round(each * 10_000))) for each in (left, top, right, bottom))
    return next(within), next(within), next(within), next(within)


def _line(row: Sequence[_Box]) -> str:
    written = ""
    right = None
    for box in row:
        gap = right is not None and box.left - right > (box.bottom - box.top) / 2
        written += (" " if gap else "") + box.text.strip()
        right = box.right
    return written
