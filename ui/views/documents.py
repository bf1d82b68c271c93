"""Knowledge bases and their files: create, upload, list, delete."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from html import escape
from typing import Any

import streamlit as st

from ui.client import Document, Gateway, Store
from ui.session import Session
from ui.uploads import Step, Upload
from ui.views.confirmation import confirm
from ui.views.pieces import progress_bar, translate_uploader
from ui.wording import how_far, moment, size

TYPES = ["txt", "md", "pdf"]
POLL = 0.5  # seconds between two looks at files that are being read
LOOK_AGAIN = 2.0  # seconds between two looks at files that nobody here is waiting for
WIDTHS = (4.6, 1.1, 2, 2.2, 1.3)


def show(session: Session) -> None:
    gateway = session.gateway
    if gateway is None or session.failure:
        return
    stores = gateway.stores()
    left, right = st.columns([1, 2.6], gap="large")
    with left:
        store = choose_store(session, gateway, stores)
    with right:
        if store is None:
            st.info(session.locale.t("documents.none"), icon=":material/folder_open:")
            return
        if store.right != "read":
            upload_form(session, store)
        list_documents(session, gateway, store)


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
        confirm(
            session,
            t("documents.delete_store_confirm", name=store.name),
            lambda: gateway.delete_store(store.id),
        )
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


def upload_form(session: Session, store: Store) -> None:
    """Choose files and send them; then every file's way, to its success or the reason it failed."""
    t = session.locale.t
    st.subheader(t("documents.upload"), anchor=False)
    translate_uploader(session.locale)
    with st.form("upload", clear_on_submit=True):
        files = st.file_uploader(
            t("documents.pick", size=st.get_option("server.maxUploadSize")),
            type=TYPES,
            accept_multiple_files=True,
        )
        if st.form_submit_button(t("documents.submit"), type="primary", icon=":material/upload:"):
            session.uploads = [upload for upload in session.uploads if upload.running]
            session.uploads += [Upload(store.id, file.name, file.getvalue()) for file in files]
            if not files:
                st.error(t("documents.nothing"))


def list_documents(session: Session, gateway: Gateway, store: Store) -> None:
    if work(session, gateway):
        st.rerun()  # the counts and the list below have changed
    t = session.locale.t
    documents = gateway.documents(store.id)
    st.subheader(t("documents.list", count=len(documents)), anchor=False)
    if not documents:
        st.info(t("documents.empty"), icon=":material/upload_file:")
        return
    with st.container(key="documents", border=True, gap=None):
        head = st.columns(WIDTHS)
        for column, name in zip(head, ("name", "size", "date", "status"), strict=False):
            column.caption(t(f"documents.column.{name}"))
        for document in documents:
            show_document(session, gateway, store, document)
    if any(document.status == "in_progress" for document in documents):
        look_again()


def look_again() -> None:
    """Draw the page anew while files are read that others sent, or this page before it was reloaded."""
    looks = itertools.count()

    def look() -> None:
        # The first look is part of the run that has just drawn the list.
        if next(looks):
            st.rerun()

    st.fragment(look, run_every=LOOK_AGAIN)()


def show_document(session: Session, gateway: Gateway, store: Store, document: Document) -> None:
    t = session.locale.t
    name, weight, date, status, action = st.columns(WIDTHS, vertical_alignment="center")
    name.text(document.filename)
    weight.text(size(document.bytes))
    date.text(moment(document.created_at))
    colour = {"completed": "green", "failed": "red", "in_progress": "blue"}.get(document.status, "gray")
    key = f"documents.status.{document.status}"
    label = t(key) if session.locale.has(key) else document.status
    if document.status == "in_progress":
        label = how_far(document.progress, session.locale)
    status.badge(label, color=colour, help=document.error or None)
    if store.right != "read" and action.button(
        t("documents.delete"), key=f"delete-{document.id}", type="tertiary", icon=":material/delete:"
    ):
        confirm(
            session,
            t("documents.delete_confirm", name=document.filename),
            lambda: (
                gateway.delete_file(document.id) if document.own else gateway.take_out(store.id, document.id)
            ),
        )


def work(session: Session, gateway: Gateway) -> bool:
    """Carry every upload on to its end, drawing each step; returns whether there was anything to do."""
    places = [(upload, st.empty()) for upload in session.uploads]
    for upload, place in places:
        show_upload(session, upload, place)
    busy = any(upload.running for upload in session.uploads)
    while running := [(upload, place) for upload, place in places if upload.running]:
        for upload, place in running:
            upload.advance(gateway)
            show_upload(session, upload, place)
        if all(upload.step is Step.PROCESSING for upload, _ in running):
            time.sleep(POLL)
    return busy


def show_upload(session: Session, upload: Upload, place: Any) -> None:
    t = session.locale.t
    message, bar = t(f"upload.{upload.step}", reason=upload.reason(session.locale)), ""
    if upload.step is Step.PROCESSING:
        message = how_far(upload.progress, session.locale)
        bar = progress_bar(upload.progress.share)
    place.html(
        f'<div class="px-upload px-{upload.step}" role="status">'
        f"<span>{escape(upload.filename)}</span><b>{_with_sign(message)}</b>{bar}</div>"
    )


def _with_sign(message: str) -> str:
    """The message with its leading ✅ or ❌ in an element of its own, which style.css draws without an emoji font."""
    sign, space, rest = message.partition(" ")
    return f'<i class="px-sign">{sign}</i>{space}{escape(rest)}' if sign in ("✅", "❌") else escape(message)
