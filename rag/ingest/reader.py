"""Which reader a file needs, by its first bytes rather than its name, and what to say of files that have none.

Readers are imported where they are needed, for this runs in a process of its own for each file.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from rag.ingest import text
from rag.ingest.document import Document, Unreadable

if TYPE_CHECKING:
    from rag.ingest.pdf import Layer

_TEXT_SUFFIXES = {"", ".txt", ".text", ".md", ".markdown"}
_READ = {".pdf", ".docx", ".html", ".htm", ".xhtml"} | _TEXT_SUFFIXES
_KNOWN = "Praxis reads PDF, DOCX, HTML, TXT and Markdown"
_FOREIGN = (
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a program"),
    (b"Rar!", "an archive"),
    (b"7z\xbc\xaf", "an archive"),
    (b"\x1f\x8b", "a compressed file"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"II*\x00", "an image"),
    (b"MM\x00*", "an image"),
    (b"{\\rtf", "an RTF document"),
    (b"SQLite format 3", "a database"),
    (b"OggS", "a sound"),
    (b"ID3", "a sound"),
    (b"RIFF", "a sound or a film"),
    (b"\x1aE\xdf\xa3", "a film"),
)
_PAGE = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html[\s>])", re.I | re.S)
MAX_TEXT = 20_000_000
"""Characters of extracted text; far above any statute book, far below what would choke the index."""


def read(path: Path, filename: str, encoding: str | None = None) -> Document | Layer:
    """The text of the file at `path`, uploaded as `filename`, in `encoding` where its uploader names one; of a PDF
    with pages that must be recognised first, what there is.

    Raises Unreadable with what the uploader can do.
    """
    with path.open("rb") as file:
        head = file.read(1024)
    suffix = PurePath(filename).suffix.lower()
    if not head:
        raise Unreadable("invalid_file", "The file is empty; upload one that has text.")
    if b"%PDF-" in head:
        from rag.ingest import pdf

        layer = pdf.read(path)
        return layer if layer.unread else bounded(layer.document({}))
    return bounded(_read(path, head, suffix, encoding))


def bounded(document: Document) -> Document:
    """The document itself. Raises Unreadable where it is longer than any statute book."""
    if len(document.text) > MAX_TEXT:
        raise Unreadable("invalid_file", f"The file has more than {MAX_TEXT:,} characters of text; split it.")
    return document


def _read(path: Path, head: bytes, suffix: str, encoding: str | None) -> Document:
    if foreign := _foreign(path, head):
        named = f" in spite of its name `{suffix}`" if suffix in _READ and suffix else ""
        raise Unreadable(
            "unsupported_file", f"The file is {foreign}{named}; {_KNOWN}: save it as one of these."
        )
    if head.startswith(b"PK"):
        from rag.ingest import docx

        return docx.read(path)
    if suffix in (".pdf", ".docx"):
        kind = "PDF" if suffix == ".pdf" else "Word document"
        raise Unreadable(
            "invalid_file", f"The file is named `{suffix}` but is no {kind}; export it as one again."
        )
    if suffix not in _READ:
        raise Unreadable(
            "unsupported_file", f"`{suffix}` files are not supported; {_KNOWN}: save it as one of these."
        )
    raw = path.read_bytes()
    if suffix in (".html", ".htm", ".xhtml") or _PAGE.match(head.removeprefix(b"\xef\xbb\xbf")):
        from rag.ingest import html

        return html.read(raw, encoding)
    decoded = text.decode(raw, encoding)
    kind = "markdown" if suffix in (".md", ".markdown") else "text"
    return Document(decoded.text, format=kind, encoding=decoded.encoding)


def _foreign(path: Path, head: bytes) -> str | None:
    """What the file is, for people, where Praxis does not read it. Raises Unreadable for a locked document."""
    if head.startswith(b"PK"):
        from rag.ingest import docx

        return docx.what(path)
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        if "EncryptedPackage".encode("utf-16-le") in path.read_bytes():
            raise Unreadable(
                "invalid_file",
                "The document is protected by a password; save a copy without one and upload that.",
            )
        return "an old Office document"
    return next((what for magic, what in _FOREIGN if head.startswith(magic)), None)
