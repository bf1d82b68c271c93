"""What the URL names is what the page shows: a kept conversation, or a kept batch."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from ui.client import GatewayError
from ui.session import Session
from ui.wording import sentence


def recall(
    session: Session,
    link: str,
    shown: str | None,
    go: Callable[[str], None],
    leave: Callable[[], None],
    gone: str,
) -> bool:
    """Open what the URL names by its parameter `link`, or have it name what is `shown`; whether the page can go on.

    `gone` is the locale key that says that there is no such thing; then the page is left with none.
    """
    t, wanted = session.locale.t, st.query_params.get(link)
    if wanted and wanted != shown and session.gateway:
        try:
            go(wanted)
        except GatewayError as error:
            if error.status == 401:
                raise
            if error.status != 404:
                st.error(sentence(error, session.locale))
                st.button(t("gateway.retry"), key="retry-open")
                return False
            leave()
            st.warning(t(gone), icon=":material/history_toggle_off:")
    elif shown and not wanted:
        st.query_params[link] = shown
    return True


def unsaved(session: Session, failure: GatewayError | None) -> None:
    """Say that the latest is not kept yet, and why."""
    if failure and not session.failure:
        reason = sentence(failure, session.locale)
        st.warning(f"{session.locale.t('history.unsaved')} {reason}", icon=":material/cloud_off:")
