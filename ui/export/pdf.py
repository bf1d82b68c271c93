"""A report as PDF, its font embedded, so that it looks the same on every machine."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence

from fpdf import FPDF
from fpdf.fonts import TTFFont
from PIL import Image

from praxis.i18n import Locale
from ui.export.fonts import Font
from ui.export.report import Answer, Report
from ui.memo import Memo, Remark, cells, heads
from ui.pictures import Picture, smaller

MARGIN = 18.0  # millimetres
WIDEST, TALLEST = 90.0, 70.0  # of a picture
PIXEL = 0.265  # the most that one of a picture takes
PRINTED = 1000  # pixels of its longer side
INK, SOFT, ACCENT, WARNING = (29, 39, 51), (91, 107, 123), (31, 78, 121), (122, 74, 0)

# A line may break before any of these: a word with the blanks after it, or a Chinese character. Marks that close stay
# with what is before them, marks that open with what follows.
_CLOSING = "，。、；：？！）】》”’…%％,.;:?!)\\]}"
_PIECE = re.compile(rf"[（【《“‘(\[{{]*(?:[A-Za-z0-9_\-./@§]+|[^\S\n]+|.)[{_CLOSING}]*[^\S\n]?", re.DOTALL)


def pdf_of(report: Report, locale: Locale, font: Font) -> bytes:
    """The report as a PDF file, set in `font`."""
    page = _Page(font)
    page.text(report.title, 16, ACCENT, after=1)
    page.text(report.made, 9, SOFT, after=4)
    if report.memo:
        _memo(page, report.memo, locale)
    for entry in report.entries:
        page.text(f"{locale.t('ask.question')} {entry.number}", 12, ACCENT, after=1)
        page.text(entry.question, 11.5, INK, after=3)
        page.text(entry.attached, 8.5, SOFT)
        for picture in entry.pictures:
            page.picture(picture)
        for answer in entry.answers:
            _write(page, answer, locale)
        if entry.verdict:
            page.text(entry.verdict, 11, ACCENT, after=4)
        _remarks(page, entry.remarks)
    return page.content()


def _memo(page: _Page, memo: Memo, locale: Locale) -> None:
    """The memo on pages of its own; a line of its table is a paragraph, for its columns would be narrow."""
    page.text(memo.title, 13, ACCENT, after=1)
    for name, value in memo.facts:
        page.text(f"{name}: {value}", 9, SOFT)
    for told in memo.summary:
        page.text(told, 10.5, INK, before=1.5)
    page.rule()
    titles = heads(memo, locale)
    for line in memo.lines:
        name, *figures, conclusion = cells(line, locale)
        page.text(f"{name}: {conclusion}", 10.5, INK, before=1)
        page.text(
            " · ".join(f"{title} {figure}" for title, figure in zip(titles[1:], figures, strict=False)),
            8.5,
            SOFT,
        )
    for heading, examples in memo.examples:
        page.rule()
        page.text(heading, 11, ACCENT, after=1)
        for example in examples:
            page.text(f"{example.number} · {example.question}", 10.5, INK, before=1)
            _remarks(page, example.remarks)
    page.rule()
    page.text(locale.t("comparison.doubts"), 11, ACCENT, after=1)
    for doubt in memo.doubts:
        page.text(f"· {doubt}", 9.5, SOFT)
    page.end()


def _remarks(page: _Page, said: Sequence[Remark]) -> None:
    for each in said:
        page.text(" · ".join(filter(None, (each.name, each.told, each.reason))), 9.5, SOFT, indent=5)


def _write(page: _Page, answer: Answer, locale: Locale) -> None:
    page.rule()
    page.text(answer.heading, 11.5, ACCENT)
    for line in (answer.settings, answer.figures):
        if line:
            page.text(line, 8.5, SOFT)
    page.text(answer.text or locale.t("answer.empty"), 10.5, INK, before=2, after=2)
    for note in answer.notes:
        page.text(note, 9.5, WARNING, after=2)
    if answer.sources:
        page.text(locale.t("sources.title", count=len(answer.sources)), 9.5, SOFT, after=1)
    for source in answer.sources:
        page.text(f"[{source.marker}] {source.name}", 10, INK)
        page.text(" · ".join(source.facts), 8.5, SOFT)
        page.text(source.quote, 9.5, INK, indent=5, after=2.5)


class _Page:
    """Text from top to bottom on as many pages as it takes."""

    def __init__(self, font: Font) -> None:
        self._pdf = FPDF(format="A4")
        self._pdf.set_margins(MARGIN, MARGIN, MARGIN)
        self._pdf.set_auto_page_break(True, MARGIN)
        self._pdf.c_margin = 0  # text begins where the rules do
        self._pdf.add_font("text", fname=str(font.file), collection_font_number=font.number)
        self._pdf.set_font("text")
        held = self._pdf.fonts["text"]
        assert isinstance(held, TTFFont)
        self._known = held.cmap
        self._pdf.add_page()

    def content(self) -> bytes:
        return bytes(self._pdf.output())

    def end(self) -> None:
        """What follows begins a page."""
        self._pdf.add_page()

    def rule(self) -> None:
        pdf = self._pdf
        pdf.ln(2)
        pdf.set_draw_color(223, 229, 235)
        pdf.line(MARGIN, pdf.get_y(), pdf.w - MARGIN, pdf.get_y())
        pdf.ln(2)

    def picture(self, picture: Picture) -> None:
        """A picture on lines of its own; nothing where it is none."""
        if small := smaller(picture, PRINTED):
            with Image.open(io.BytesIO(small.content)) as drawn:
                width, height = drawn.size
            scale = min(WIDEST / width, TALLEST / height, PIXEL)
            self._pdf.image(io.BytesIO(small.content), w=width * scale, h=height * scale)
            self._pdf.ln(2)

    def text(
        self,
        text: str,
        size: float,
        colour: tuple[int, int, int],
        *,
        before: float = 0,
        after: float = 0,
        indent: float = 0,
    ) -> None:
        """Paragraphs; sizes in points, everything else in millimetres."""
        pdf = self._pdf
        pdf.set_font("text", size=size)
        pdf.set_text_color(*colour)
        if before:
            pdf.ln(before)
        for paragraph in text.splitlines():
            for line in self._lines(self._shown(paragraph), pdf.epw - indent):
                pdf.set_x(MARGIN + indent)
                pdf.cell(text=line, h=size * 0.62, new_x="LMARGIN", new_y="NEXT")
        if after:
            pdf.ln(after)

    def _shown(self, text: str) -> str:
        """The text with a box for what the font lacks, which says more than nothing."""
        return "".join(letter if ord(letter) in self._known else "□" for letter in text.replace("\t", "    "))

    def _lines(self, paragraph: str, width: float) -> Iterator[str]:
        line, length = "", 0.0
        for piece in _PIECE.findall(paragraph):
            for part in self._parts(piece, width):
                wide = self._pdf.get_string_width(part)
                if line and length + self._pdf.get_string_width(part.rstrip()) > width:
                    yield line.rstrip()
                    line, length = "", 0.0
                line, length = line + part, length + wide
        if line.strip():
            yield line.rstrip()

    def _parts(self, piece: str, width: float) -> Iterator[str]:
        """The piece, cut where it alone is wider than the page."""
        while len(piece) > 1 and self._pdf.get_string_width(piece) > width:
            cut = max(1, int(len(piece) * width / self._pdf.get_string_width(piece)) - 1)
            yield piece[:cut]
            piece = piece[cut:]
        yield piece
