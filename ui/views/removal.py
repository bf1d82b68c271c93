"""Questions before files and knowledge bases are deleted or replaced, each of which says what it removes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from ui.client import Store
from ui.library import NAMES, Document, Library
from ui.markup import plain
from ui.session import Session
from ui.uploads import Upload
from ui.views.confirmation import Act, confirm, decide

NAMED = 5
"""Knowledge bases that a question names before it only counts them."""


def remove_file(
    session: Session, library: Library, stores: Sequence[Store], store: Store, document: Document
) -> None:
    """Ask whether a file is deleted, or taken out of this knowledge base alone where it stands in others too."""
    t = session.locale.t
    name, held = plain(document.filename), document.contents
    key = "removal.with_articles" if held.articles else "removal.passages"
    removed = t(key, passages=held.passages, articles=held.articles)
    if document.status != "completed":
        removed = t("removal.nothing_read")
    take_out = partial(library.take_out, store.id, document.id)
    if not document.own:
        confirm(session, t("removal.take_out", name=name, store=plain(store.name), removed=removed), take_out)
        return
    delete = partial(library.delete_file, document.id)
    standing = library.standing(document.id)
    if standing == [store.id]:
        question = t("removal.file", name=name, removed=removed, store=plain(store.name))
        confirm(session, question, delete)
        return
    known = {each.id: each.name for each in stores}
    names = [plain(known[each]) for each in standing if each in known][:NAMED]
    listed = t("removal.separator").join(names)
    question = t("removal.in_several", name=name, removed=removed, count=len(standing), stores=listed)

    def fields() -> Act:
        everywhere: bool = st.radio(
            t("removal.from"),
            [False, True],
            format_func=lambda all_: t("removal.everywhere" if all_ else "removal.here", count=len(standing)),
        )
        return delete if everywhere else take_out

    decide(session, question, fields, "documents.delete")


def remove_store(session: Session, library: Library, store: Store) -> None:
    """Ask whether a knowledge base is deleted, and its files with it."""
    t = session.locale.t
    documents = library.documents(store.id)
    question = t(
        "removal.store",
        name=plain(store.name),
        files=len(documents),
        passages=sum(each.contents.passages for each in documents),
        articles=sum(each.contents.articles for each in documents),
    )

    def fields() -> Act:
        files = bool(documents) and st.checkbox(
            t("removal.files_too"), value=True, help=t("removal.files_help")
        )
        return partial(library.delete, store, files=files)

    decide(session, question, fields, "documents.delete")


def replace_file(session: Session, store: Store, document: Document) -> None:
    """Ask for the file that takes the place of another."""
    t = session.locale.t
    held = document.contents
    question = t(
        "removal.replace",
        name=plain(document.filename),
        passages=held.passages,
        articles=held.articles,
    )

    def body() -> None:
        st.write(question)
        file = st.file_uploader(
            t("removal.new_file", size=st.get_option("server.maxUploadSize")),
            type=list(NAMES),
            key=f"replace-{document.id}",
        )
        if document.editions:
            st.caption(t("removal.keep_both"))
        with st.container(horizontal=True, horizontal_alignment="right"):
            if st.button(t("documents.cancel"), key="cancel-replace"):
                st.rerun()
            if (
                st.button(
                    t("documents.act.replace"), type="primary", key="confirm-replace", disabled=file is None
                )
                and file
            ):
                session.uploads = [upload for upload in session.uploads if upload.running]
                session.uploads.append(Upload(store.id, file.name, file.getvalue(), document.id))
                st.rerun()

    st.dialog(t("documents.act.replace"), on_dismiss="rerun")(body)()
