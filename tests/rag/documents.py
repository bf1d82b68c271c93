"""PDF files as people upload them, good and bad, made on the spot."""

from __future__ import annotations

import io
from collections.abc import Sequence

from pypdf import PdfReader, PdfWriter
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas


def pdf(*pages: Sequence[str]) -> bytes:
    """A PDF of these pages of lines, with a text layer."""
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    for lines in pages:
        canvas.setFont("STSong-Light", 12)
        for at, line in enumerate(lines):
            canvas.drawString(60, 780 - 20 * at, line)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def scanned() -> bytes:
    """A PDF whose page is a picture."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    canvas.rect(100, 100, 300, 500, fill=1)
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def encrypted(password: str) -> bytes:
    """A PDF that opens only with `password`; with an empty one it opens, but may not be changed."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(["劳动合同的期限分为固定期限和无固定期限。"]))))
    writer.encrypt(user_password=password, owner_password="owner", algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def without_pages() -> bytes:
    """A PDF that has no page."""
    out = io.BytesIO()
    PdfWriter().write(out)
    return out.getvalue()


def bomb(size: int) -> bytes:
    """A PDF whose one page unfolds to `size` bytes from very few."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(["甲"]))))
    content = b"BT /F1 12 Tf (" + b"A" * size + b") Tj ET"
    from pypdf.generic import DecodedStreamObject, NameObject

    stream = DecodedStreamObject()
    stream.set_data(content)
    writer.pages[0][NameObject("/Contents")] = writer._add_object(stream.flate_encode())
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()
