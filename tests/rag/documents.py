"""Files as people upload them, good and bad, made on the spot."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence

from pypdf import PdfReader, PdfWriter
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
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


def mixed(*pages: str | bytes | tuple[str, bytes]) -> bytes:
    """A PDF of pages that are a line of text, a picture (of a PNG), the one under the other, or empty."""
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    for page in pages:
        text, picture = page if isinstance(page, tuple) else (page, page)
        if isinstance(text, str):
            canvas.setFont("STSong-Light" if text > "\u2000" else "Helvetica", 12)
            canvas.drawString(60, 780, text)
        if isinstance(picture, bytes):
            canvas.drawImage(ImageReader(io.BytesIO(picture)), 0, 0, *A4)
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


WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def docx(body: str, numbering: str = "", styles: str = "", **others: str) -> bytes:
    """A Word document of these parts, in WordprocessingML; `others` by the names of their files under `word/`."""
    relations = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
        'Target="word/document.xml"/></Relationships>'
    )
    parts = {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": relations,
        "word/document.xml": f"<w:document {WORD}><w:body>{body}</w:body></w:document>",
        "word/numbering.xml": f"<w:numbering {WORD}>{numbering}</w:numbering>",
        "word/styles.xml": f"<w:styles {WORD}>{styles}</w:styles>",
    }
    return archive(parts | {f"word/{name}.xml": text for name, text in others.items()})


def archive(parts: Mapping[str, str | bytes]) -> bytes:
    """A ZIP archive of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in parts.items():
            packed.writestr(name, content)
    return out.getvalue()


def paragraph(text: str, *, number: int | None = None, level: int = 0, style: str = "") -> str:
    """A paragraph of a Word document, in list `number` if one is given."""
    listed = f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{number}"/></w:numPr>' if number else ""
    styled = f'<w:pStyle w:val="{style}"/>' if style else ""
    return f"<w:p><w:pPr>{styled}{listed}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def table(*rows: Sequence[str]) -> str:
    """A table of a Word document."""
    made = ("".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) for row in rows)
    return f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in made)}</w:tbl>"


def numbering(*levels: tuple[str, str], lists: int = 1, restart: bool = False) -> str:
    """A numbering of these levels (format, text) that `lists` lists share; with `restart` each later one begins anew."""
    made = "".join(
        f'<w:lvl w:ilvl="{at}"><w:start w:val="1"/><w:numFmt w:val="{kind}"/><w:lvlText w:val="{text}"/></w:lvl>'
        for at, (kind, text) in enumerate(levels)
    )
    anew = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="1"/></w:lvlOverride>'
    numbers = "".join(
        f'<w:num w:numId="{at}"><w:abstractNumId w:val="7"/>{anew if restart and at > 1 else ""}</w:num>'
        for at in range(1, lists + 1)
    )
    return f'<w:abstractNum w:abstractNumId="7">{made}</w:abstractNum>{numbers}'
