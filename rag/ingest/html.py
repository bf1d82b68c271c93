"""HTML to text: what a reader of the page sees of its content, without scripts, menus and what is hidden."""

from __future__ import annotations

import re
from collections.abc import Iterator

import lxml.html
from lxml import etree
from lxml.html import HtmlElement

from rag.ingest import text
from rag.ingest.document import Document, Lines, Unreadable

_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{2,40})", re.I)
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_DROPPED = (
    "script",
    "style",
    "noscript",
    "template",
    "iframe",
    "object",
    "svg",
    "math",
    "canvas",
    "audio",
    "video",
    "nav",
    "footer",
    "aside",
    "input",
    "button",
    "select",
    "textarea",
    "head",
)
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "blockquote",
        "body",
        "caption",
        "center",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "li",
        "main",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "tfoot",
        "thead",
        "tr",
        "ul",
    ]
)
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)
_ENDS = re.compile(r"[。！？；.!?;]")


def read(raw: bytes, encoding: str | None) -> Document:
    """The text of a page, in `encoding` where the uploader names it. Raises Unreadable."""
    declared = _CHARSET.search(raw[:4096])
    decoded = text.decode(raw, encoding, declared[1].decode("ascii") if declared else None)
    parser = lxml.html.HTMLParser(huge_tree=True)
    try:
        root = lxml.html.document_fromstring(_DECLARATION.sub("", decoded.text), parser)
    except (etree.ParserError, ValueError) as error:
        raise Unreadable("invalid_file", "The page has no content; save it again and upload that.") from error
    if any("depth" in each.message.lower() for each in parser.error_log):
        raise Unreadable("invalid_file", "The page is nested too deep to be read whole; save it more simply.")
    body = root.find("body")
    content = _content(body if body is not None else root)
    lines = Lines()
    for line, level in _lines(content):
        lines.add(line, level)
    return lines.document("html", decoded.encoding)


def _content(body: HtmlElement) -> HtmlElement:
    """The part of a page that is its content: what it marks as that, unless most of the text is elsewhere."""
    for each in list(body.iter(etree.Comment, etree.ProcessingInstruction)):
        each.drop_tree()
    for each in list(body.iter(*_DROPPED)):
        if each is not body and each.getparent() is not None:
            each.drop_tree()
    for each in list(body.iterdescendants()):
        hidden = each.get("hidden") is not None or _HIDDEN.search(each.get("style") or "")
        if (hidden or _is_menu(each)) and each.getparent() is not None:
            each.drop_tree()
    marked = body.xpath("//main | //*[@role='main']") or body.xpath("//article")
    if len(marked) == 1 and len(_bare(marked[0])) > len(_bare(body)) / 2:
        return marked[0]
    return body


def _is_menu(element: HtmlElement) -> bool:
    """Whether an element is a list of links without a sentence."""
    if element.tag not in ("ul", "ol", "div", "section", "table", "header"):
        return False
    inside = _bare(element)
    links = sum(len(_bare(each)) for each in element.iter("a"))
    return len(element.findall(".//a")) >= 3 and links > 0.8 * len(inside) and not _ENDS.search(inside)


def _bare(element: HtmlElement) -> str:
    return "".join(element.text_content().split())


def _lines(content: HtmlElement) -> Iterator[tuple[str, int | None]]:
    """The lines of an element with their level where they are headings; a row of a table is one line."""
    line: list[str] = []
    level: int | None = None
    rows = 0  # inside how many rows of tables

    def end() -> tuple[str, int | None]:
        whole = " ".join("".join(line).split())
        line.clear()
        return whole, level

    for event, element in etree.iterwalk(content, events=("start", "end")):
        tag = element.tag
        block = tag in _BLOCKS and (not rows or tag == "tr")
        if event == "start":
            if block:
                yield end()
                level = int(tag[1]) if re.fullmatch("h[1-6]", tag) else None
            rows += tag == "tr"
            if tag == "li" and element.getparent().tag == "ol":
                line.append(f"{_position(element)}. ")
            if tag in ("td", "th") and any(each.strip() for each in line):
                line.append(" | ")
            line.append(element.text or "")
            if tag == "br":
                if rows or level:
                    line.append(" ")
                else:
                    yield end()
        else:
            if block:
                yield end()
                level = None
            elif rows and tag in _BLOCKS:
                line.append(" ")
            rows -= tag == "tr"
            if element is not content:
                line.append(element.tail or "")
    yield end()


def _position(item: HtmlElement) -> int:
    """The number that a browser shows before an item of a list."""
    start = item.getparent().get("start", "1")
    first = int(start) if start.isdecimal() and len(start) < 6 else 1
    return first + sum(1 for _ in item.itersiblings("li", preceding=True))
