"""How a file was split: each of its passages in order, a page of them at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

import streamlit as st

from praxis.i18n import Locale
from ui.client import GatewayError, Store
from ui.found import words_html
from ui.library import Document, Found, Library, Passage
from ui.markup import plain
from ui.session import Session
from ui.views import files
from ui.wording import quoted

SHOWN = 20
"""Passages at a time."""

_OPEN = "previewed"
_SCROLL = "<script>document.getElementById('px-here')?.scrollIntoView({block: 'center'})</script>"


@dataclass
class Opened:
    """The file that stands open; where a search led to it, the character `at` which that was found, and its `query`."""

    store: str
    file: str
    at: int | None = None
    query: str = ""
    page: int = 0  # at which it is opened, once that is known


def open_file(store: str, file: str) -> None:
    """Show this file's passages in place of the list."""
    st.session_state[_OPEN] = Opened(store, file)
    st.rerun()


def open_found(store: str, found: Found, query: str) -> None:
    """Show what a search found where it stands in its file, in place of the other results."""
    st.session_state[_OPEN] = Opened(store, found.file, found.start, query)


def show(session: Session, store: Store) -> bool:
    """The passages of the file that was opened; False where none of this knowledge base is."""
    gateway, t = session.gateway, session.locale.t
    assert gateway is not None
    opened: Opened | None = st.session_state.get(_OPEN)
    if opened is None or opened.store != store.id:
        return False
    file = opened.file
    with st.container(key="preview-back"):
        back = t("preview.back" if opened.at is None else "preview.back_found")
        if st.button(back, type="tertiary", icon=":material/arrow_back:"):
            del st.session_state[_OPEN]
            st.rerun()
    library = Library(gateway)
    try:
        document = library.document(store.id, file)
        _turn(library, opened)
    except GatewayError as error:
        if error.status != 404:
            raise
        st.info(t("preview.gone"), icon=":material/info:")
        return True
    st.subheader(plain(document.filename), anchor=False)
    st.html(facts_html(document, session.locale))
    pages = max(1, -(-document.contents.passages // SHOWN))
    # The pages are chosen above and below the passages, by one choice.
    number: int = (
        st.pagination(pages, default=min(opened.page, pages), key=f"passages-{file}-{opened.at}")
        if pages > 1
        else 1
    )
    passages, total = library.passages(store.id, file, after=(number - 1) * SHOWN, limit=SHOWN)
    if not passages:
        st.info(t("preview.empty"), icon=":material/info:")
        return True
    last = passages[-1].number
    st.caption(t("preview.shown", first=passages[0].number, last=last, total=total))
    st.html(passages_html(passages, session.locale, opened))
    if opened.at is not None:
        st.html(_SCROLL, unsafe_allow_javascript=True)
    return True


def _turn(library: Library, opened: Opened) -> None:
    """Open the file at the page on which stands what was found."""
    if not opened.page:
        number = 1 if opened.at is None else library.number(opened.store, opened.file, opened.at)
        opened.page = -(-number // SHOWN)


def facts_html(document: Document, locale: Locale) -> str:
    """What was read of the file, and the laws that it holds with their editions."""
    t, held = locale.t, document.contents
    known = f"documents.format.{held.format}"
    told = [
        (t("preview.format"), t(known) if locale.has(known) else held.format.upper()),
        (t("preview.encoding"), held.encoding.upper()),
        (t("preview.characters"), f"{held.characters:,}"),
        (t("preview.pages"), f"{held.pages:,}" if held.pages else ""),
        (t("preview.recognised"), _ranges(held.recognised)),
        (t("preview.articles"), f"{held.articles:,}" if held.articles else ""),
        (t("preview.passages"), f"{held.passages:,}"),
    ]
    tiles = "".join(f"<p>{escape(name)}<b>{escape(value)}</b></p>" for name, value in told if value)
    rows = "".join(
        f"<tr><td>{escape(each.title)}</td><td>{escape(each.version or '—')}</td>"
        f"<td>{escape(each.effective or '—')}</td><td>{_badge(each.superseded, files.edition_state(each, locale))}</td></tr>"
        for each in document.editions
    )
    heads = "".join(
        f"<th>{escape(t(f'preview.law.{name}'))}</th>" for name in ("title", "version", "effective", "state")
    )
    laws = (
        f'<table class="px-list"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>' if rows else ""
    )
    notes = "".join(f'<p class="px-note">{escape(quoted(note))}</p>' for note in held.notes)
    return f'<div class="px-tiles px-read">{tiles}</div>{laws}{notes}'


def _badge(superseded: bool, state: str) -> str:
    return f'<span class="px-badge {"px-idle" if superseded else "px-good"}">{escape(state)}</span>'


def _ranges(numbers: Iterable[int]) -> str:
    """Page numbers with runs drawn together: 1–3, 7."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{first}–{last}" if last > first else str(first) for first, last in runs)


def passages_html(passages: Iterable[Passage], locale: Locale, opened: Opened) -> str:
    """The passages, each below its number, its article and where it stands; in the one that was found the words of the
    question are marked."""
    told = "".join(_passage(each, locale, opened) for each in passages)
    return f'<div class="px-passages">{told}</div>'


def _passage(passage: Passage, locale: Locale, opened: Opened) -> str:
    t = locale.t
    here = opened.at is not None and passage.start <= opened.at < passage.end
    text = words_html(opened.query if here else "", passage.text)
    place = ' class="px-here" id="px-here"' if here else ""
    article = " ".join(each for each in (passage.article, passage.clause) if each)
    facts = [passage.path, t("sources.page", page=passage.page) if passage.page else ""]
    facts.append(t("preview.length", count=len(passage.text)))
    if passage.ocr:
        facts.append(t("preview.ocr"))
    small = escape(" · ".join(each for each in facts if each))
    unsearched = (
        ""
        if passage.searchable
        else f'<span class="px-badge px-idle">{escape(t("preview.unsearched"))}</span>'
    )
    return (
        f'<article{place}><header><span class="px-marker">{passage.number}</span><b>{escape(article)}</b>'
        f"<small>{small}</small>{unsearched}</header>"
        f'<div class="px-article">{text}</div></article>'
    )
