"""Sets 《劳动法》 as a PDF with a text layer, many of whose articles run over a page break.

    python samples/make_pdf.py

The font is STSong-Light, one of the Chinese fonts that PDF viewers supply themselves, so that none is embedded. It
needs reportlab, which is among the development requirements. The output is the same each time.
"""

from __future__ import annotations

from pathlib import Path

from reportlab.lib.pagesizes import A5
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "中华人民共和国劳动法.txt"


def main() -> None:
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    body = ParagraphStyle(
        "body",
        fontName="STSong-Light",
        fontSize=11,
        leading=18,
        wordWrap="CJK",
        firstLineIndent=0,
        spaceAfter=4,
    )
    title = ParagraphStyle("title", parent=body, fontSize=17, leading=28, alignment=1)
    lines = [line.strip() for line in SOURCE.read_text(encoding="utf-8").splitlines() if line.strip()]
    story = [Paragraph(line, title if at == 0 else body) for at, line in enumerate(lines)]
    document = SimpleDocTemplate(
        str(SOURCE.with_suffix(".pdf")),
        pagesize=A5,
        leftMargin=18 * mm,
        rightMargin=18 * mm,
        topMargin=18 * mm,
        bottomMargin=20 * mm,
        title=lines[0],
        author="",
        invariant=1,
    )
    document.build(story, onFirstPage=_number, onLaterPages=_number)


def _number(canvas: Canvas, document: SimpleDocTemplate) -> None:
    canvas.setFont("STSong-Light", 9)
    canvas.drawCentredString(A5[0] / 2, 12 * mm, f"— {document.page} —")


if __name__ == "__main__":
    main()
