"""A text file whose encoding is not clear, or was taken for another: somebody sees how it would read, and says which it is."""

from __future__ import annotations

from html import escape

import streamlit as st

from ui.client import GatewayError, Store
from ui.encodings import HEAD, meant, readings
from ui.library import Document, Library
from ui.markup import plain
from ui.session import Session
from ui.uploads import Upload
from ui.wording import sentence

TEXTS = (".txt", ".text", ".md", ".markdown", ".html", ".htm", ".xhtml")
"""How the names end of files that are text."""
LINE = 40  # characters of each reading
SHOWN = 1000  # characters of the one that is chosen


def unclear(document: Document) -> bool:
    """Whether the file is one's own, and may have failed because of its encoding."""
    failed = document.status == "failed" and document.code in ("invalid_file", "unsupported_file")
    return failed and document.own and document.filename.lower().endswith(TEXTS)


def told(document: Document) -> bool:
    """Whether the file is one's own text, which was read in an encoding that may be the wrong one."""
    return document.status == "completed" and document.own and bool(document.contents.encoding)


def choose(session: Session, library: Library, store: Store, document: Document) -> None:
    """Ask for the encoding, and have the file read in it."""
    t = session.locale.t
    now = meant(document.contents.encoding)

    def body() -> None:
        try:
            found = _readings(library, document)
        except GatewayError as error:
            st.error(sentence(error, session.locale))
            return
        if not found:
            st.warning(t("encoding.none"), icon=":material/text_fields_alt:")
            return
        name = plain(document.filename)
        if told(document):
            st.write(t("encoding.doubted", name=name, encoding=(now or document.contents.encoding).upper()))
        else:
            st.write(t("encoding.question", name=name))
        chosen: str = st.radio(
            t("encoding.title"),
            list(found),
            index=list(found).index(now) if now in found else 0,
            format_func=lambda encoding: t(f"encoding.{encoding}"),
            captions=[plain(text[:LINE]) for text in found.values()],
            label_visibility="collapsed",
            key=f"encoding-{document.id}",
        )
        st.caption(t("encoding.preview"))
        st.html(f'<div class="px-reading" tabindex="0">{escape(found[chosen])}</div>')
        with st.container(horizontal=True, horizontal_alignment="right"):
            if st.button(t("documents.cancel"), key="cancel-encoding"):
                st.rerun()
            if st.button(t("encoding.read"), type="primary", key="confirm-encoding", disabled=chosen == now):
                try:
                    _read(session, library, store, document, chosen)
                except GatewayError as error:
                    st.error(sentence(error, session.locale))
                    return
                st.rerun()

    st.dialog(t("encoding.title"), on_dismiss="rerun")(body)()


def _read(session: Session, library: Library, store: Store, document: Document, encoding: str) -> None:
    """Have the file read in `encoding`. Raises GatewayError.

    One that was read already is sent once more, to take its own place: until then, and if that fails, what was read
    stays, and whatever else it stands in keeps it as it is.
    """
    if told(document):
        session.uploads = [upload for upload in session.uploads if upload.running]
        content = library.content(document.id)
        session.uploads.append(
            Upload(store.id, document.filename, content, replaces=document.id, encoding=encoding)
        )
    else:
        library.attach(store.id, document.id, attributes={**document.attributes, "encoding": encoding})


def _readings(library: Library, document: Document) -> dict[str, str]:
    """How the file may read, by encoding; it is fetched once, for each time leaves a line in the audit trail."""
    known: tuple[str, dict[str, str]] | None = st.session_state.get("encoding-readings")
    if known is None or known[0] != document.id:
        found = readings(library.head(document.id, HEAD))
        known = (document.id, {each.encoding: each.text[:SHOWN] for each in found})
        st.session_state["encoding-readings"] = known
    return known[1]
