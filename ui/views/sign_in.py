"""Sign in with a key."""

from __future__ import annotations

import streamlit as st

from ui.client import GatewayError
from ui.session import Session
from ui.wording import sentence


def show(session: Session) -> None:
    t = session.locale.t
    _, middle, _ = st.columns([1, 1.1, 1])
    with middle, st.container(key="sign-in", border=True):
        st.html(f'<div class="px-brand">{t("app.name")}</div><p class="px-tagline">{t("app.tagline")}</p>')
        with st.form("sign-in-form", border=False):
            # Without a widget key, the typed key leaves the page's state as soon as the form is gone.
            key = st.text_input(
                t("sign_in.key"), type="password", placeholder=t("sign_in.key_hint"), autocomplete="off"
            )
            submitted = st.form_submit_button(t("sign_in.submit"), type="primary", width="stretch")
        problem = t(session.notice) if session.notice else ""
        if submitted:
            problem = _sign_in(session, key.strip())
            if not problem:
                st.rerun()
        if problem:
            st.error(problem)
        st.caption(t("sign_in.help"))
        st.button(
            t("language.other"),
            type="tertiary",
            icon=":material/translate:",
            on_click=session.switch_language,
        )


def _sign_in(session: Session, key: str) -> str:
    """Signs in; returns a sentence where that does not work."""
    if not key:
        return session.locale.t("sign_in.empty")
    try:
        session.sign_in(key)
    except GatewayError as error:
        # What the server adds to a wrong key is meant for developers.
        shown = GatewayError(error.kind) if error.status == 401 else error
        return sentence(shown, session.locale)
    return ""
