"""Which reader a file needs, by its first bytes rather than its name, and what to say of files that have none."""

from __future__ import annotations

from pathlib import Path, PurePath

from rag.ingest import pdf, text
from rag.ingest.document import Document, Unreadable

_TEXT_SUFFIXES = {"", ".txt", ".text", ".md", ".markdown"}
_KNOWN = "Praxis reads PDF, TXT and Markdown"
_FOREIGN = (
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a program"),
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"Rar!", "an archive"),
    (b"7z\xbc\xaf", "an archive"),
    (b"\x1f\x8b", "a compressed file"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"II*\x00", "an image"),
    (b"MM\x00*", "an image"),
    (b"{\\rtf", "an RTF document"),
)
MAX_TEXT = 20_000_000
"""Characters of extracted text; far above any statute book, far below what would choke the index."""


def read(path: Path, filename: str) -> Document:
    """The text of the file at `path`, uploaded as `filename`. Raises Unreadable with what the uploader can do."""
    with path.open("rb") as file:
        head = file.read(1024)
    suffix = PurePath(filename).suffix.lower()
    if not head:
        raise Unreadable("invalid_file", "The file is empty; upload one that has text.")
    if b"%PDF-" in head:
        document = pdf.read(path)
    elif foreign := next((what for magic, what in _FOREIGN if head.startswith(magic)), None):
        named = f" in spite of its name `{suffix}`" if suffix in {".pdf", *_TEXT_SUFFIXES} and suffix else ""
        raise Unreadable(
            "unsupported_file", f"The file is {foreign}{named}; {_KNOWN}: save it as one of these."
        )
    elif suffix == ".pdf":
        raise Unreadable("invalid_file", "The file is named `.pdf` but is no PDF; export it as PDF again.")
    elif suffix not in _TEXT_SUFFIXES:
        raise Unreadable(
            "unsupported_file", f"`{suffix}` files are not supported; {_KNOWN}: save it as one of these."
        )
    else:
        document = Document(text.decode(path.read_bytes()))
    if len(document.text) > MAX_TEXT:
        raise Unreadable("invalid_file", f"The file has more than {MAX_TEXT:,} characters of text; split it.")
    return document
