"""Ask before something is changed that others feel, or deleted for good."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from ui.client import GatewayError
from ui.session import Session
from ui.wording import sentence

DELETE = "documents.delete"
WHY = 1000  # characters of a reason that the gateway keeps

Act = Callable[[], None]


def offer(
    session: Session,
    verb: str,
    key: str,
    icon: str,
    question: str,
    act: Callable[[str], None],
    *,
    disabled: bool = False,
) -> None:
    """A button named by the key `verb` that asks `question`, and for a reason, before it does `act`."""
    if st.button(session.locale.t(verb), key=key, type="tertiary", icon=icon, disabled=disabled):
        confirm_with_reason(session, question, act, verb)


def confirm(session: Session, question: str, act: Act, verb: str = DELETE) -> None:
    """Ask before something is deleted for good. `verb` is the key of what it is called."""
    decide(session, question, lambda: act, verb)


def confirm_with_reason(session: Session, question: str, act: Callable[[str], None], verb: str) -> None:
    """Ask, and for a reason if there is one, which `act` gets."""
    decide(session, question, lambda: partial(act, reason(session)), verb)


def reason(session: Session) -> str:
    """The line for why, which may stay empty."""
    t = session.locale.t
    return str(
        st.text_input(t("operations.why"), placeholder=t("operations.why_hint"), max_chars=WHY)
    ).strip()


def decide(session: Session, question: str, fields: Callable[[], Act], verb: str) -> None:
    """Ask `question` with the `fields` below it, which say what to do once it is confirmed. What the gateway refuses is
    said where it was asked, and can be asked again."""
    t = session.locale.t

    def body() -> None:
        st.write(question)
        act = fields()
        with st.container(horizontal=True, horizontal_alignment="right"):
            if st.button(t("documents.cancel"), key="cancel-delete"):
                st.rerun()
            confirmed = st.button(t(verb), type="primary", key="confirm-delete")
        if confirmed:
            try:
                act()
            except GatewayError as error:
                if error.status != 401:
                    st.error(sentence(error, session.locale))
                    return
            st.rerun()  # a key that ended leads back to the sign-in

    st.dialog(t(verb), on_dismiss="rerun")(body)()
