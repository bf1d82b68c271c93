"""The files of a knowledge base: send them, see how far each is and what it holds, preview, replace and delete them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from html import escape
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from praxis.i18n import Locale
from ui.client import Store
from ui.library import NAMES, Document, Edition, Library
from ui.session import Session
from ui.uploads import Step, Upload
from ui.views import encoding, preview
from ui.views.pieces import progress_bar
from ui.views.removal import remove_file, replace_file
from ui.wording import how_far, moment, quoted, size

POLL = 0.5  # seconds between two looks at files that are being read
LOOK_AGAIN = 2.0  # seconds between two looks at files that nobody here is waiting for
WIDTHS = (3.6, 3.0, 1.6, 1.5)
LISTED = 50
"""Files on one page of the list."""
LAWS = 3
"""Laws of one file that are named in the list."""

_BADGES = {"completed": "px-good", "failed": "px-bad", "cancelled": "px-idle"}


def show(session: Session, library: Library, store: Store, stores: Sequence[Store]) -> None:
    if store.right != "read":
        upload_form(session, store)
    places = [(upload, st.empty()) for upload in session.uploads]
    for upload, place in places:
        show_upload(session, upload, place)
    documents = library.documents(store.id)
    if list_documents(session, library, stores, store, documents):
        return  # a question is open, which drawing the page anew would close
    if work(session, library, places):
        st.rerun()  # the counts and the list above have changed
    if any(document.status == "in_progress" for document in documents):
        look_again()


def upload_form(session: Session, store: Store) -> None:
    """Choose files and send them; then every file's way, to its success or the reason it failed."""
    t = session.locale.t
    with st.form("upload", clear_on_submit=True):
        files = st.file_uploader(
            t("documents.pick", size=st.get_option("server.maxUploadSize")),
            type=list(NAMES),
            accept_multiple_files=True,
        )
        if st.form_submit_button(t("documents.submit"), type="primary", icon=":material/upload:"):
            session.uploads = [upload for upload in session.uploads if upload.running]
            session.uploads += [Upload(store.id, file.name, file.getvalue()) for file in files]
            if not files:
                st.error(t("documents.nothing"))


def list_documents(
    session: Session, library: Library, stores: Sequence[Store], store: Store, documents: Sequence[Document]
) -> bool:
    """The list, a page of it at a time; whether one of its questions was opened."""
    t = session.locale.t
    st.subheader(t("documents.list", count=len(documents)), anchor=False)
    if not documents:
        if any(upload.running for upload in session.uploads):
            return False  # they are on their way
        key = "documents.empty_shared" if store.right == "read" else "documents.empty"
        st.info(t(key), icon=":material/upload_file:")
        return False
    shown = documents
    if len(documents) > LISTED:
        wanted = st.text_input(
            t("documents.filter"), icon=":material/search:", key=f"filter-{store.id}", max_chars=200
        ).strip()
        shown = [each for each in documents if wanted.lower() in each.filename.lower()]
    pages = max(1, -(-len(shown) // LISTED))
    number = st.session_state.get(f"files-{store.id}", 1) if pages > 1 else 1
    asked = False
    with st.container(key="documents", border=True, gap=None):
        head = st.columns(WIDTHS)
        for column, name in zip(head, ("name", "holds", "status"), strict=False):
            column.caption(t(f"documents.column.{name}"))
        for document in shown[(number - 1) * LISTED : number * LISTED]:
            asked = show_document(session, library, stores, store, document) or asked
    if pages > 1:
        st.pagination(pages, key=f"files-{store.id}")
    return asked


def look_again() -> None:
    """Draw the page anew while files are read that others sent, or this page before it was reloaded."""
    looks = itertools.count()

    def look() -> None:
        # The first look is part of the run that has just drawn the list.
        if next(looks):
            st.rerun()

    st.fragment(look, run_every=LOOK_AGAIN)()


def show_document(
    session: Session, library: Library, stores: Sequence[Store], store: Store, document: Document
) -> bool:
    """A row of the list; whether one of its questions was opened."""
    name, holds, status, action = st.columns(WIDTHS, vertical_alignment="center")
    name.html(name_html(document, session.locale))
    holds.html(holds_html(document, session.locale))
    status.html(status_html(document, session.locale))
    with action:
        return act_on(session, library, stores, store, document)


def act_on(
    session: Session, library: Library, stores: Sequence[Store], store: Store, document: Document
) -> bool:
    """What can be done with a file; whether a question was opened for it."""
    t = session.locale.t
    acts = ["preview"] if document.status == "completed" else []
    if store.right != "read":
        acts += ["again"] if document.status in ("failed", "cancelled") and document.own else []
        acts += ["encoding"] if encoding.unclear(document) else []
        acts += ["reread"] if encoding.told(document) else []
        acts += ["replace"] if document.status == "completed" else []
        acts += ["delete"]
    if not acts:
        return False
    chosen = st.menu_button(
        t("documents.act"),
        acts,
        format_func=lambda act: t(f"documents.act.{act}"),
        key=f"act-{document.id}",
        type="tertiary",
        width="stretch",
    )
    match chosen:
        case "preview":
            preview.open_file(store.id, document.id)
        case "again":
            library.attach(store.id, document.id)
            st.rerun()
        case "encoding" | "reread":
            encoding.choose(session, library, store, document)
        case "replace":
            replace_file(session, store, document)
        case "delete":
            remove_file(session, library, stores, store, document)
    return chosen in ("encoding", "reread", "replace", "delete")


def name_html(document: Document, locale: Locale) -> str:
    """A file's name, with its format, size and date below it; of a failed one why, and what to do."""
    kind = document.contents.format
    known = f"documents.format.{kind}"
    kind = locale.t(known) if locale.has(known) else kind.upper()
    facts = (kind, size(document.bytes), moment(document.created_at))
    small = escape(" · ".join(each for each in facts if each))
    told = f"<b>{escape(document.filename)}</b><small>{small}</small>"
    if document.error:
        told += f'<small class="px-bad">{escape(reason(document, locale))}</small>'
    if encoding.unclear(document):
        told += f"<small>{escape(locale.t('encoding.hint'))}</small>"
    if document.replaces:
        key = "documents.replacing" if document.status == "in_progress" else "documents.not_replaced"
        told += f"<small>{escape(locale.t(key))}</small>"
    return f'<div class="px-fact">{told}</div>'


def holds_html(document: Document, locale: Locale) -> str:
    """How many articles, passages and pages a file has, and which editions of which laws."""
    if document.status != "completed":
        return '<div class="px-fact">—</div>'
    held = document.contents
    counts = [("articles", held.articles), ("passages", held.passages), ("pages", held.pages)]
    told = [locale.t(f"documents.holds.{name}", count=count) for name, count in counts if count]
    if held.recognised:
        told.append(locale.t("documents.holds.recognised", count=len(held.recognised)))
    laws = "".join(
        f"<small>{escape(_version(each, locale))}{_state(each, locale)}</small>"
        for each in document.editions[:LAWS]
    )
    if more := len(document.editions) - LAWS:
        laws += f"<small>{escape(locale.t('documents.more_laws', count=more))}</small>" if more > 0 else ""
    notes = "".join(f'<small class="px-idle">{escape(quoted(note))}</small>' for note in held.notes)
    return f'<div class="px-fact">{escape(" · ".join(told))}{laws}{notes}</div>'


def _version(edition: Edition, locale: Locale) -> str:
    title = edition.title.removeprefix("中华人民共和国")
    if not edition.version:
        return locale.t("sources.law", law=title)
    return locale.t("documents.edition", law=title, version=edition.version)


def _state(edition: Edition, locale: Locale) -> str:
    """A badge where an edition is not the one in force."""
    state = edition_state(edition, locale)
    return f' <span class="px-badge px-idle">{escape(state)}</span>' if edition.superseded else ""


def edition_state(edition: Edition, locale: Locale) -> str:
    """Whether an edition is in force, and since or until when."""
    if edition.superseded and edition.until:
        return locale.t("documents.superseded_until", date=edition.until)
    if edition.superseded:
        return locale.t("documents.not_yet", date=edition.effective or "?")
    return locale.t("documents.in_force")


def status_html(document: Document, locale: Locale) -> str:
    """Where a file stands."""
    key = f"documents.status.{document.status}"
    label = locale.t(key) if locale.has(key) else document.status
    if document.status == "in_progress":
        bar = progress_bar(document.progress.share)
        return f'<div class="px-fact">{escape(how_far(document.progress, locale))}{bar}</div>'
    badge = _BADGES.get(document.status, "px-idle")
    return f'<div class="px-fact"><span class="px-badge {badge}">{escape(label)}</span></div>'


def reason(document: Document, locale: Locale) -> str:
    """Why a file failed and what to do, and then the server's own words."""
    key = f"documents.failed.{document.code}"
    lead = locale.t(key) if locale.has(key) else ""
    return f"{lead} {quoted(document.error)}".strip()


def work(session: Session, library: Library, places: Sequence[tuple[Upload, DeltaGenerator]]) -> bool:
    """Carry every upload on to its end, drawing each step; returns whether there was anything to do."""
    busy = any(upload.running for upload in session.uploads)
    while running := [(upload, place) for upload, place in places if upload.running]:
        for upload, place in running:
            upload.advance(library.gateway)
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
