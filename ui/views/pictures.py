"""Pictures on the way to a question, and beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st
from streamlit.typing import ChatInputValue

from praxis.i18n import Locale
from ui.pictures import EACH, Picture, Unreadable, read
from ui.session import Draft, Session


def receive(session: Session, sent: str | ChatInputValue) -> str:
    """The question in what was sent, whose pictures are in the draft then. Where there are no words, or something is wrong with
    it, nothing is asked: the draft keeps its words, the pictures that are in order, and the reasons."""
    text, files = (sent.strip(), []) if isinstance(sent, str) else (sent.text.strip(), sent.files)
    pictures, problems = list(session.draft.pictures), []
    for file in files:
        try:
            pictures.append(read(file.name, file.getvalue()))
        except Unreadable as problem:
            problems.append((f"picture.file.{problem.reason}", {"name": file.name} | problem.values))
    if len(pictures) > EACH:
        problems.append(("picture.too_many", {"limit": EACH}))
    session.draft = Draft(pictures[:EACH], text if problems else "", problems)
    if problems or not text:
        st.rerun()  # the draft stands above the line, which is drawn with the words in it
    return text


def show_draft(session: Session) -> None:
    """The pictures that wait for their question, each with the way to take it out, and why it was not asked."""
    t, draft = session.locale.t, session.draft
    for key, values in draft.problems:
        st.error(t(key, **values), icon=":material/broken_image:")
    if not draft.pictures:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="draft"):
        for place, picture in enumerate(draft.pictures):
            st.html(pictures_html([picture], session.locale), width="content")
            st.button(
                t("picture.remove"),
                key=f"detach-{place}",
                icon=":material/close:",
                type="tertiary",
                on_click=draft.pictures.remove,
                args=(picture,),
            )
        st.caption(t("picture.waiting"), width="content")


def pictures_html(pictures: Sequence[Picture], locale: Locale) -> str:
    """Small pictures that open to their whole size. They stand in the page itself: no address leads to them."""
    shown = []
    for number, picture in enumerate(pictures, start=1):
        label = escape(locale.t("picture.alt", number=number, name=picture.name), quote=True)
        shown.append(
            f'<details class="px-picture"><summary title="{label}"><img src="{escape(picture.url)}" alt="{label}"></summary></details>'
        )
    return f'<div class="px-pictures">{"".join(shown)}</div>'
