"""Ask before something is deleted for good."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from ui.session import Session


def confirm(session: Session, question: str, act: Callable[[], None]) -> None:
    """Ask before something is deleted for good."""
    t = session.locale.t

    def body() -> None:
        st.write(question)
        with st.container(horizontal=True, horizontal_alignment="right"):
            if st.button(t("documents.cancel"), key="cancel-delete"):
                st.rerun()
            if st.button(t("documents.delete"), type="primary", key="confirm-delete"):
                act()
                st.rerun()

    st.dialog(t("documents.delete"))(body)()
