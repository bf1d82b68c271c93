"""A text file whose encoding is not clear: somebody sees how it would read, and says which it is."""

from __future__ import annotations

from html import escape

import streamlit as st

from ui.client import GatewayError, Store
from ui.encodings import HEAD, readings
from ui.library import Document, Library
from ui.markup import plain
from ui.session import Session
from ui.wording import sentence

TEXTS = (".txt", ".text", ".md", ".markdown", ".html", ".htm", ".xhtml")
"""How the names end of files that are text."""
LINE = 40  # characters of each reading
SHOWN = 1000  # characters of the one that is chosen


def fits(document: Document) -> bool:
    """Whether the file is one's own, and may have failed because of its encoding."""
    failed = document.status == "failed" and document.code in ("invalid_file", "unsupported_file")
    return failed and document.own and document.filename.lower().endswith(TEXTS)


def choose(session: Session, library: Library, store: Store, document: Document) -> None:
    """Ask for the encoding, and have the file read in it."""
    t = session.locale.t

    def body() -> None:
        try:
            found = _readings(library, document)
        except GatewayError as error:
            st.error(sentence(error, session.locale))
            return
        if not found:
            st.warning(t("encoding.none"), icon=":material/text_fields_alt:")
            return
        st.write(t("encoding.question", name=plain(document.filename)))
        chosen: str = st.radio(
            t("encoding.title"),
            list(found),
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
            if st.button(t("encoding.read"), type="primary", key="confirm-encoding"):
                attributes = {**document.attributes, "encoding": chosen}
                try:
                    library.attach(store.id, document.id, attributes=attributes)
                except GatewayError as error:
                    st.error(sentence(error, session.locale))
                    return
                st.rerun()

    st.dialog(t("encoding.title"), on_dismiss="rerun")(body)()


def _readings(library: Library, document: Document) -> dict[str, str]:
    """How the file may read, by encoding; it is fetched once, for each time leaves a line in the audit trail."""
    known: tuple[str, dict[str, str]] | None = st.session_state.get("encoding-readings")
    if known is None or known[0] != document.id:
        found = readings(library.head(document.id, HEAD))
        known = (document.id, {each.encoding: each.text[:SHOWN] for each in found})
        st.session_state["encoding-readings"] = known
    return known[1]
