"""DOCX to text: paragraphs with the numbers that Word writes before them, tables as a line per row, notes at the end.

The archive is opened here rather than by a library, for two reasons: what it unfolds to is bounded before it is
unfolded, and libraries leave out text under tracked insertions.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from lxml import etree
from lxml.etree import _Element

from rag.ingest.document import Document, Lines, Unreadable
from rag.ingest.numbering import Numbering, W

MAX_PART = 100 << 20
"""Bytes that one part of the archive may unfold to: many times the longest code of law."""
MAX_WHOLE = 1 << 30
"""Bytes that the whole archive may unfold to, pictures included."""

_COMPATIBLE = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
# Deleted and moved-away text, and the second of two ways to draw the same thing.
_UNSEEN = frozenset((f"{W}del", f"{W}moveFrom", f"{_COMPATIBLE}Fallback"))
_OTHERS = (
    ("xl/", "an Excel workbook"),
    ("ppt/", "a PowerPoint presentation"),
    ("META-INF/container.xml", "an EPUB book"),
    ("content.xml", "an OpenDocument file"),
    ("AndroidManifest.xml", "an Android program"),
)


def what(path: Path) -> str | None:
    """What the ZIP archive at `path` is, for people; None where it is a Word document. Raises Unreadable."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise Unreadable(
            "invalid_file",
            "The file is a damaged ZIP archive or Office document; save it again and upload that.",
        ) from None
    if any(each.startswith("word/") for each in names):
        return None
    for name, kind in _OTHERS:
        if any(each.startswith(name) for each in names):
            return kind
    return "a ZIP archive" if names else "an empty ZIP archive"


def read(path: Path) -> Document:
    """The text of the Word document at `path`. Raises Unreadable when it is locked, damaged, a bomb or empty."""
    try:
        with zipfile.ZipFile(path) as archive:
            whole = sum(each.file_size for each in archive.infolist())
            if whole > MAX_WHOLE:
                raise _bomb(whole, MAX_WHOLE)
            main = _main(archive)
            folder = str(PurePosixPath(main).parent)
            body = _part(archive, main)
            styles = _Styles(_part(archive, f"{folder}/styles.xml"))
            numbering = Numbering(_part(archive, f"{folder}/numbering.xml"))
            notes = [_part(archive, f"{folder}/{each}.xml") for each in ("footnotes", "endnotes")]
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        ValueError,
        NotImplementedError,
        KeyError,
    ) as error:
        raise _damaged(error) from error
    if body is None:
        raise _damaged(KeyError(main))
    lines = Lines()
    writer = _Writer(styles, numbering, lines)
    for block in _blocks(body.find(f"{W}body")):
        writer.block(block)
    for part in notes:
        for note in part.iterfind("*") if part is not None else ():
            if note.get(f"{W}type") in (None, "normal"):
                mark = f"[{note.get(f'{W}id')}] "
                lines.add(mark + " ".join(filter(None, (_text(each) for each in _blocks(note)))))
    return lines.document("docx")


def _main(archive: zipfile.ZipFile) -> str:
    """The name of the document's main part."""
    relations = _part(archive, "_rels/.rels")
    for each in relations.iterfind("*") if relations is not None else ():
        if (each.get("Type") or "").endswith("/officeDocument"):
            return (each.get("Target") or "").lstrip("/")
    return "word/document.xml"


def _part(archive: zipfile.ZipFile, name: str) -> _Element | None:
    """A part of the archive as XML, None where there is none. Entities are not resolved and nothing is fetched."""
    try:
        entry = archive.getinfo(name)
    except KeyError:
        return None
    if entry.flag_bits & 1:
        raise Unreadable(
            "invalid_file",
            "The document is protected by a password; save a copy without one and upload that.",
        )
    if entry.file_size > MAX_PART:
        raise _bomb(entry.file_size, MAX_PART)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True)
    try:
        root = etree.fromstring(archive.read(entry), parser)
    except etree.XMLSyntaxError as error:
        raise _damaged(error) from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise Unreadable(
            "invalid_file",
            "The Word document defines entities, as no word processor does; save it again with one.",
        )
    return root


class _Styles:
    """What paragraphs have by their style: heading level, list."""

    def __init__(self, styles: _Element | None) -> None:
        found = styles.iterfind(f"{W}style") if styles is not None else ()
        self._styles = {each.get(f"{W}styleId", ""): each for each in found}

    def chain(self, style: str | None) -> Iterator[tuple[str, _Element]]:
        """The style and those that it is based on, nearest first."""
        seen: set[str] = set()
        while style is not None and style not in seen and (found := self._styles.get(style)) is not None:
            seen.add(style)
            yield style, found
            based = found.find(f"{W}basedOn")
            style = None if based is None else based.get(f"{W}val")

    def level(self, properties: _Element | None, style: str | None) -> int | None:
        """The level, from 1, of a paragraph that is a heading."""
        for holder in (properties, *(each.find(f"{W}pPr") for _, each in self.chain(style))):
            outline = holder.find(f"{W}outlineLvl") if holder is not None else None
            if outline is not None and (value := outline.get(f"{W}val", "9")) in "012345678":
                return int(value) + 1
        for _, each in self.chain(style):
            named = each.find(f"{W}name")
            name = (named.get(f"{W}val") or "") if named is not None else ""
            if found := re.fullmatch(r"(?:heading|标题) ?([1-9])", name, re.I):
                return int(found[1])
            if name.lower() == "title":
                return 1
        return None

    def list(
        self, properties: _Element | None, style: str | None
    ) -> tuple[str, int | None, str | None] | None:
        """The list that a paragraph is numbered in, its level there if told, and the style that says so."""
        holders: list[tuple[str | None, _Element | None]] = [(None, properties)]
        holders += [(name, each.find(f"{W}pPr")) for name, each in self.chain(style)]
        level: int | None = None
        for name, holder in holders:
            found = holder.find(f"{W}numPr") if holder is not None else None
            if found is None:
                continue
            depth, number = found.find(f"{W}ilvl"), found.find(f"{W}numId")
            if level is None and depth is not None and (depth.get(f"{W}val") or "").isdecimal():
                level = int(depth.get(f"{W}val", "0"))
            if number is not None:
                listed = number.get(f"{W}val", "0")
                return None if listed == "0" else (listed, level, name)
        return None


class _Writer:
    """Writes the blocks of a document as lines."""

    def __init__(self, styles: _Styles, numbering: Numbering, lines: Lines) -> None:
        self._styles = styles
        self._numbering = numbering
        self._lines = lines

    def block(self, block: _Element) -> None:
        """Write a paragraph, or the rows of a table."""
        if block.tag == f"{W}p":
            level, line = self._paragraph(block)
            for at, each in enumerate(line.split("\n")):
                self._lines.add(each, level if at == 0 else None)
            return
        for row in block.iter(f"{W}tr"):
            cells = []
            for cell in row.iterfind(f"{W}tc"):
                inside = (self._paragraph(each)[1].replace("\n", " ") for each in _paragraphs(cell))
                cells.append(" ".join(filter(None, inside)))
            self._lines.add(" | ".join(cells) if any(cells) else "")

    def _paragraph(self, paragraph: _Element) -> tuple[int | None, str]:
        properties = paragraph.find(f"{W}pPr")
        named = properties.find(f"{W}pStyle") if properties is not None else None
        style = None if named is None else named.get(f"{W}val")
        text = _text(paragraph)
        listed = self._styles.list(properties, style)
        if listed and text:
            text = self._numbering.label(*listed) + text
        return self._styles.level(properties, style), text


def _blocks(parent: _Element | None) -> Iterator[_Element]:
    """The paragraphs and tables of a body, those inside content controls too."""
    if parent is None:
        return
    for child in parent.iterchildren():
        if child.tag in (f"{W}p", f"{W}tbl"):
            yield child
        elif child.tag in (f"{W}sdt", f"{W}sdtContent", f"{W}customXml", f"{W}ins", f"{W}moveTo"):
            yield from _blocks(child)


def _paragraphs(cell: _Element) -> Iterator[_Element]:
    """The paragraphs of a cell; those of a table inside it belong to that table's own rows."""
    for block in _blocks(cell):
        if block.tag == f"{W}p":
            yield block


def _text(paragraph: _Element) -> str:
    """What a reader sees of a paragraph, tracked insertions included, deletions and hidden text not."""
    parts: list[str] = []
    stack: list[_Element] = [paragraph]
    while stack:
        each = stack.pop()
        if each.tag in _UNSEEN or (each.tag == f"{W}r" and _is_hidden(each)):
            continue
        if each.tag == f"{W}t":
            parts.append(each.text or "")
        elif each.tag == f"{W}tab":
            parts.append(" ")
        elif each.tag in (f"{W}br", f"{W}cr"):
            parts.append("\n")
        elif each.tag == f"{W}noBreakHyphen":
            parts.append("-")
        elif each.tag in (f"{W}footnoteReference", f"{W}endnoteReference"):
            parts.append(f"[{each.get(f'{W}id')}]")
        elif each.tag != f"{W}pPr":
            stack.extend(reversed(each))
    return "".join(parts).strip()


def _is_hidden(run: _Element) -> bool:
    vanish = run.find(f"{W}rPr/{W}vanish")
    return vanish is not None and vanish.get(f"{W}val") not in ("0", "false")


def _bomb(size: int, limit: int) -> Unreadable:
    return Unreadable(
        "invalid_file",
        f"The document unfolds to {size >> 20:,} MB, more than the {limit >> 20:,} MB that a document may; "
        "save it without what makes it so large.",
    )


def _damaged(error: Exception) -> Unreadable:
    return Unreadable(
        "invalid_file",
        f"The Word document is damaged ({type(error).__name__}); open it, save it again and upload that.",
    )
