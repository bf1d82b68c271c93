"""What was asked before: find, open, rename, delete."""

from __future__ import annotations

from functools import partial

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from ui.client import Gateway
from ui.history import LISTED, TITLE, Entry, History
from ui.markup import plain
from ui.session import BATCH_LINK, LINK, Session
from ui.views.confirmation import confirm
from ui.wording import moment

WIDTHS = (6, 1.6, 2.2)


def show(session: Session, ask: StreamlitPage, many: StreamlitPage) -> None:
    """`ask` is the page that opens a conversation, `many` the one that opens a batch."""
    gateway, t = session.gateway, session.locale.t
    if gateway is None or session.failure:
        return
    st.subheader(t("history.title"), anchor=False)
    query = st.text_input(
        t("history.search"),
        placeholder=t("history.search_hint"),
        icon=":material/search:",
        label_visibility="collapsed",
        max_chars=200,
        key=f"history-search-{session.locale.code}",
    ).strip()
    entries = History(gateway).entries(query)
    if not entries:
        st.info(t("history.none_found" if query else "history.empty"), icon=":material/history:")
        return
    with st.container(key="history", border=True, gap=None):
        for entry in entries:
            show_entry(session, gateway, entry, ask if entry.questions is None else many)
    if len(entries) == LISTED:
        st.caption(t("history.more", count=LISTED))


def show_entry(session: Session, gateway: Gateway, entry: Entry, page: StreamlitPage) -> None:
    """`page` is the one that opens it."""
    t, label, link, icon = session.locale.t, plain(entry.title), LINK, ":material/forum:"
    if entry.questions is not None:
        label = f"{label} · {t('history.questions', count=entry.questions)}"
        link, icon = BATCH_LINK, ":material/checklist:"
    name, date, actions = st.columns(WIDTHS, vertical_alignment="center")
    with name:
        st.page_link(page, label=label, icon=icon, query_params={link: entry.id})
    date.text(moment(entry.used_at))
    with actions, st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        if st.button(t("history.rename"), key=f"rename-{entry.id}", type="tertiary", icon=":material/edit:"):
            rename(session, gateway, entry)
        if st.button(
            t("documents.delete"), key=f"forget-{entry.id}", type="tertiary", icon=":material/delete:"
        ):
            question = t("history.delete_confirm", title=plain(entry.title))
            confirm(session, question, partial(forget, session, gateway, entry))


def rename(session: Session, gateway: Gateway, entry: Entry) -> None:
    """Ask for another title."""
    t = session.locale.t

    def body() -> None:
        with st.form("rename", border=False):
            title = st.text_input(t("history.name"), value=entry.title, max_chars=TITLE).strip()
            if st.form_submit_button(t("history.save"), type="primary") and title:
                History(gateway).rename(entry.id, title)
                if session.batch and session.batch.id == entry.id:
                    session.batch.name = title
                st.rerun()

    st.dialog(t("history.rename"))(body)()


def forget(session: Session, gateway: Gateway, entry: Entry) -> None:
    """Delete a conversation or a batch, the open one too."""
    History(gateway).delete(entry.id)
    if entry.id == session.conversation.id:
        session.new_conversation()
    if session.batch and entry.id == session.batch.id:
        session.new_batch()
