"""What a model or a document wrote, made safe to show, and the few HTML pieces of the pages."""

from __future__ import annotations

import re
from collections.abc import Collection
from html import escape

from praxis.i18n import Locale
from ui.client import Citation, Unverified
from ui.passage import Passage

CONTEXT = 240  # characters of the document shown on either side of the quoted words

BLANK = re.compile(r"\n\s*\n")
"""Blank lines, which statutes have between all paragraphs: on a page they are left out."""
CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)
"""Code in Markdown, nearly: to split by it puts the code at the odd places."""
_IMAGE = re.compile(r"!(?=\[[^\]]*\][(\[])")
_MARKER = re.compile(r"\[(\d{1,3})\](?!\()")
_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~$:<>&])")
_LIST = re.compile(r"^(\d*)([-+.)])")
# A lone tilde is a range in Chinese (3~5年) and a dollar before a digit is money; Markdown reads strike-through and formula.
_TILDE = re.compile(r"(?<![~\\])~(?!~)")
_MONEY = re.compile(r"(?<!\\)\$(?=\s?\d)")


def model_markdown(text: str, anchor: str = "", markers: Collection[int] = ()) -> str:
    """A model's Markdown: no image is fetched, and a marker in `markers` leads to its citation under `anchor`.

    Raw HTML is not touched here: Streamlit shows it as text.
    """

    def link(match: re.Match[str]) -> str:
        known = int(match[1]) in markers
        return rf"[\[{match[1]}\]](#{citation_id(anchor, int(match[1]))})" if known else match[0]

    def prose(part: str) -> str:
        part = _MONEY.sub(r"\\$", _TILDE.sub(r"\\~", _IMAGE.sub("", part)))
        return _MARKER.sub(link, part)

    parts = CODE.split(text)
    return "".join(part if place % 2 else prose(part) for place, part in enumerate(parts))


def unmarked(text: str) -> str:
    """A model's words without the markers that would tell that they are grounded."""
    return _MARKER.sub("", text)


def plain(text: str) -> str:
    """Somebody's words where only Markdown can be shown: one line that reads as it was written."""
    return _LIST.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", " ".join(text.split())))


def citation_id(anchor: str, marker: int) -> str:
    """The HTML id of a citation; a link to it opens the citation."""
    return f"{anchor}-{marker}"


def unverified_html(items: Collection[Unverified], locale: Locale) -> str:
    """The warning about article numbers that the documents lack."""
    rows = "".join(f"<li>{_unverified(item, locale)}</li>" for item in items)
    return f'<div class="px-warning" role="alert"><p>{escape(locale.t("unverified.title"))}</p><ul>{rows}</ul></div>'


def source_name(law: str | None, article: str | None, filename: str, locale: Locale) -> str:
    """《law》article as the language writes it; the file's name where the law is unknown."""
    if not law:
        return f"{filename} {article}" if article else filename
    law = law.strip("《》")
    return (
        locale.t("sources.article", law=law, article=article) if article else locale.t("sources.law", law=law)
    )


def citation_html(citation: Citation, passage: Passage | None, anchor: str, locale: Locale) -> str:
    """A source of an answer: it folds open to its article, in which the quoted words are marked."""
    name = source_name(citation.law, citation.article, citation.filename, locale)
    state = "verified" if citation.verified else "unverified"
    text = _passage(passage.excerpt(CONTEXT)) if passage else f"<mark>{escape(citation.quote)}</mark>"
    notes = [] if passage else [locale.t("sources.quote_only")]
    if citation.note:
        known = f"sources.note.{citation.note}"
        notes.append(locale.t(known) if locale.has(known) else citation.note)
    remarks = "".join(f'<p class="px-note">{escape(note)}</p>' for note in notes)
    return (
        f'<details class="px-citation"><summary><span class="px-marker">{citation.marker}</span>'
        f'<span class="px-source">{escape(name)}</span>'
        f'<span class="px-badge px-{state}">{escape(locale.t(f"sources.{state}"))}</span></summary>'
        f'<div class="px-passage" id="{citation_id(anchor, citation.marker)}">'
        f'<div class="px-article">{text}</div>{remarks}{_facts(citation, locale)}</div></details>'
    )


def uncited_html(found: Citation, locale: Locale) -> str:
    """A passage that was found for an answer which does not cite it, folded."""
    name = source_name(found.law, found.article, found.filename, locale)
    text = escape(BLANK.sub("\n", found.quote.strip()))
    return (
        f'<details class="px-citation"><summary><span class="px-source">{escape(name)}</span></summary>'
        f'<div class="px-passage"><div class="px-article">{text}</div>{_facts(found, locale)}</div></details>'
    )


def _passage(passage: Passage) -> str:
    """The passage, its lines close together whatever blank lines the document has between them."""
    runs = [(BLANK.sub("\n", run), marked) for run, marked in passage.runs]
    tags = ("mark" if marked else "span" for _, marked in runs)
    return "".join(f"<{tag}>{escape(run)}</{tag}>" for tag, (run, _) in zip(tags, runs, strict=True))


def _facts(citation: Citation, locale: Locale) -> str:
    """File, page and version, and the link to the source itself."""
    facts = [citation.filename]
    if citation.page is not None:
        facts.append(locale.t("sources.page", page=citation.page))
    if citation.version:
        facts.append(locale.t("sources.version", version=citation.version))
    line = "".join(f"<span>{escape(fact)}</span>" for fact in facts)
    if citation.url and citation.url.startswith(("http://", "https://")):
        target = escape(citation.url, quote=True)
        line += f'<a href="{target}" target="_blank" rel="noopener noreferrer">{escape(locale.t("sources.open"))}</a>'
    return f'<p class="px-facts">{line}</p>'


def _unverified(item: Unverified, locale: Locale) -> str:
    name = escape(source_name(item.law, item.article, "", locale).strip())
    nearest = f" — {escape(locale.t('unverified.nearest', nearest=item.nearest))}" if item.nearest else ""
    return f"<b>{name}</b>{nearest}"
