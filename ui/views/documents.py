"""Knowledge bases: choose or create one, and then its files, a search in it, or with whom it is shared."""

from __future__ import annotations

from collections import Counter

import streamlit as st

from ui.client import Gateway, Store
from ui.library import Library
from ui.session import Session
from ui.views import files, finding, preview, sharing
from ui.views.removal import remove_store

ROOMS = {"files": files.show, "search": finding.show, "sharing": sharing.show}


def show(session: Session) -> None:
    gateway, t = session.gateway, session.locale.t
    if gateway is None or session.failure:
        return
    stores = gateway.stores()
    left, right = st.columns([1, 2.9], gap="large")
    with left:
        store = choose_store(session, gateway, stores)
    with right:
        if store is None:
            st.info(t("documents.none"), icon=":material/folder_open:")
            return
        if preview.show(session, store):
            return
        # Only its owner says with whom a knowledge base is shared.
        rooms = [room for room in ROOMS if room != "sharing" or store.right is None]
        room = st.segmented_control(
            t("documents.rooms"),
            rooms,
            default="files",
            format_func=lambda room: t(f"documents.room.{room}"),
            required=True,
            label_visibility="collapsed",
            key=f"documents-room-{len(rooms)}",
            persist_state="session",
        )
        ROOMS[room or "files"](session, Library(gateway), store, stores)


def choose_store(session: Session, gateway: Gateway, stores: list[Store]) -> Store | None:
    """The knowledge base to work on, and the way to a new one."""
    t = session.locale.t
    known = {store.id: store for store in stores}
    st.subheader(t("documents.store"), anchor=False)
    place = st.container()
    # Run before the choice is drawn: a new knowledge base is the one to fill.
    create_store(session, gateway, stores)
    if not stores:
        return None
    known = {store.id: store for store in stores}
    # The browser knows an option by its label: it must not change with the count, nor be another's.
    names = Counter(store.name for store in stores)
    chosen: str = place.radio(
        t("documents.choose"),
        list(known),
        format_func=lambda store: (
            known[store].name if names[known[store].name] == 1 else f"{known[store].name} · {store}"
        ),
        captions=[caption(session, store) for store in stores],
        key="store",
        label_visibility="collapsed",
        persist_state="session",
    )
    store = known[chosen]
    if store.right is None and st.button(
        t("documents.delete_store"), type="tertiary", icon=":material/delete:"
    ):
        remove_store(session, Library(gateway), store)
    return store


def caption(session: Session, store: Store) -> str:
    """What stands below a knowledge base: how much is in it, and what one may do with another's."""
    t = session.locale.t
    count = t("documents.count", count=store.total)
    return f"{count} · {t(f'documents.shared.{store.right}')}" if store.right else count


def create_store(session: Session, gateway: Gateway, stores: list[Store]) -> None:
    t = session.locale.t
    with st.form("new-store", clear_on_submit=True):
        name = st.text_input(t("documents.new"), placeholder=t("documents.name_hint"), max_chars=80).strip()
        if not st.form_submit_button(t("documents.create"), icon=":material/create_new_folder:"):
            return
        if not name:
            st.error(t("documents.name_empty"))
        elif any(store.name == name for store in stores):
            st.error(t("documents.name_taken", name=name))
        else:
            st.session_state["store"] = gateway.create_store(name).id
            st.rerun()
