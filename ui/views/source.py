"""The page of a PDF on which a citation stands, with the quoted words marked, and the pages around it."""

from __future__ import annotations

import base64
from html import escape

import streamlit as st

from ui.client import GatewayError, Sheet
from ui.markup import source_name
from ui.session import Session, Viewed
from ui.wording import sentence

ZOOMS = (100, 150, 200)
WIDTH = 1200  # pixels of a page as wide as its place
ALT = 200  # characters of the quote


def show(session: Session) -> None:
    """The page that stands open, if any does; it stays until it is closed, whatever else happens on the page."""
    if session.viewed is None:
        return

    def close() -> None:
        session.viewed = None

    t = session.locale.t
    st.dialog(t("page.title"), width="large", on_dismiss=close)(_page)(session)


def _page(session: Session) -> None:
    viewed = session.viewed
    if viewed is None or session.gateway is None:
        return
    t = session.locale.t
    try:
        with st.spinner(t("page.loading")):
            width = min(2400, WIDTH * viewed.zoom // 100)
            sheet = session.gateway.sheet(viewed.citation, viewed.page, width)
    except GatewayError as error:
        st.error(t("page.gone") if error.status == 404 else sentence(error, session.locale))
        return
    _bar(session, viewed, sheet)
    _note(session, viewed, sheet)
    st.html(_picture(session, viewed, sheet), unsafe_allow_javascript=True)


def _bar(session: Session, viewed: Viewed, sheet: Sheet) -> None:
    """Which page of what it is, and the ways to others."""
    t, citation = session.locale.t, viewed.citation

    def turn(page: int) -> None:
        viewed.page = page

    name = source_name(citation.law, citation.article, citation.filename, session.locale)
    facts = [citation.filename] if citation.law else []
    facts.append(t("page.of", page=sheet.page, pages=sheet.pages))
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.html(
            f'<div class="px-page-name"><span class="px-marker">{citation.marker}</span> <b>{escape(name)}</b>'
            f"<small>{escape(' · '.join(facts))}</small></div>",
            width="content",
        )
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            cited = citation.page or 1
            if not _first(sheet, cited) <= sheet.page <= _last(sheet, cited):
                st.button(
                    t("page.back"),
                    key="page-back",
                    icon=":material/undo:",
                    type="tertiary",
                    on_click=turn,
                    args=(cited,),
                )
            for label, icon, page in (
                ("page.previous", ":material/chevron_left:", sheet.page - 1),
                ("page.next", ":material/chevron_right:", sheet.page + 1),
            ):
                st.button(
                    t(label),
                    key=label,
                    icon=icon,
                    on_click=turn,
                    # One that is switched off loses the keyboard, and with it the way to close.
                    args=(min(max(page, 1), sheet.pages),),
                )
            _zoom(session, viewed)


def _zoom(session: Session, viewed: Viewed) -> None:
    t, key = session.locale.t, f"page-zoom-{session.locale.code}"

    def change() -> None:
        viewed.zoom = st.session_state[key]

    st.segmented_control(
        t("page.zoom"),
        ZOOMS,
        default=viewed.zoom,
        required=True,
        format_func=lambda zoom: t("page.fit") if zoom == 100 else f"{zoom} %",
        key=key,
        on_change=change,
        label_visibility="collapsed",
    )


def _note(session: Session, viewed: Viewed, sheet: Sheet) -> None:
    """What is marked, or why nothing is."""
    t = session.locale.t
    note = t(f"page.marked.{sheet.marked}")
    if sheet.passage and sheet.passage[0] < sheet.passage[1]:
        note += " " + t("page.over", first=sheet.passage[0], last=sheet.passage[1])
    quote = f"<q>{escape(viewed.citation.quote)}</q>" if sheet.marked == "unsure" else ""
    kind = "px-page-note px-unsure" if sheet.marked == "unsure" else "px-page-note"
    st.html(f'<p class="{kind}" role="status">{escape(note)}{quote}</p>')


def _picture(session: Session, viewed: Viewed, sheet: Sheet) -> str:
    """The picture in a frame that scrolls by itself, from the beginning where the mark is in sight."""
    citation = viewed.citation
    alt = session.locale.t(
        f"page.alt.{sheet.marked}", name=citation.filename, page=sheet.page, quote=citation.quote[:ALT]
    )
    data = base64.b64encode(sheet.png).decode("ascii")
    # The script shares its names with those of earlier pictures, so it stands in a block of its own.
    scroll = (
        "const page = document.getElementById('px-page'), picture = page?.querySelector('img');"
        f"const go = () => {{ page.scrollTop = {max(0.0, sheet.top - 0.06)} * picture.offsetHeight; }};"
        "if (picture) { picture.complete ? go() : picture.addEventListener('load', go); }"
    )
    label = escape(alt, quote=True)
    return (
        f'<div class="px-page" id="px-page" tabindex="0" role="region" aria-label="{label}">'
        f'<img src="data:image/png;base64,{data}" alt="{label}" style="width: {viewed.zoom}%"></div>'
        f"<script>{{{scroll}}}</script>"
    )


def _first(sheet: Sheet, cited: int) -> int:
    return sheet.passage[0] if sheet.passage else cited


def _last(sheet: Sheet, cited: int) -> int:
    return sheet.passage[1] if sheet.passage else cited
