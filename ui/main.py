"""The script that Streamlit runs for every interaction: who is here, which page, what frame around it."""

from __future__ import annotations

import itertools
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from ui import widgets
from ui.client import GatewayError
from ui.session import Session
from ui.views import ask, batch, documents, history, operations, results, sign_in, source
from ui.wording import sentence

ROOM = Path(__file__).parent
PROBE_EVERY = 2.0  # seconds between two looks for a gateway that is down


def main() -> None:
    st.set_page_config(page_title="Praxis", page_icon=str(ROOM / "icon.svg"), layout="wide")
    st.html(ROOM / "style.css")
    session = Session.current()
    if session.gateway:
        session.refresh()
        session = Session.current()
    widgets.speak(session.locale)
    page = st.navigation(pages(session), position="top" if session.gateway else "hidden")
    if session.gateway is None:
        sign_in.show(session)
        return
    st.logo(str(ROOM / "logo.svg"), size="large")
    account(session)
    if session.failure:
        trouble(session, session.failure)
    try:
        page.run()
        source.show(session)
    except GatewayError as error:
        if error.status == 401:
            session.sign_out("sign_in.expired")
            st.rerun()
        st.error(sentence(error, session.locale))


def pages(session: Session) -> list[StreamlitPage]:
    t = session.locale.t
    asking = st.Page(
        lambda: ask.show(session),
        title=t("nav.ask"),
        icon=":material/balance:",
        url_path="ask",
        default=True,
    )
    many = st.Page(
        lambda: batch.show(session),
        title=t("nav.batch"),
        icon=":material/checklist:",
        url_path="batch",
    )
    past = st.Page(
        lambda: history.show(session, asking, many),
        title=t("nav.history"),
        icon=":material/history:",
        url_path="history",
    )
    files = st.Page(
        lambda: documents.show(session),
        title=t("nav.documents"),
        icon=":material/folder_open:",
        url_path="documents",
    )
    judged = st.Page(
        lambda: results.show(session),
        title=t("nav.results"),
        icon=":material/how_to_vote:",
        url_path="results",
    )
    operated = st.Page(
        lambda: operations.show(session),
        title=t("nav.operations"),
        icon=":material/dns:",
        url_path="operations",
    )
    return [asking, many, past, judged, files, *([operated] if session.operator else [])]


def account(session: Session) -> None:
    """What concerns the whole session, in the top bar."""
    t = session.locale.t
    with st.container(key="account", horizontal=True, horizontal_alignment="right"):
        if session.conversation.turns:
            st.button(
                t("ask.new"),
                type="tertiary",
                icon=":material/add_comment:",
                on_click=session.new_conversation,
            )
        st.button(
            t("language.other"),
            type="tertiary",
            icon=":material/translate:",
            on_click=session.switch_language,
        )
        st.button(t("account.sign_out"), type="tertiary", icon=":material/logout:", on_click=session.sign_out)


def trouble(session: Session, failure: GatewayError) -> None:
    """Say why the gateway is of no use now; where it is down, look for it and go on by itself."""
    t = session.locale.t
    if failure.kind not in (GatewayError.UNREACHABLE, GatewayError.TIMEOUT):
        st.error(sentence(failure, session.locale))
        st.button(t("gateway.retry"))
        return
    looks = itertools.count()

    def look() -> None:
        st.warning(t("gateway.down"), icon=":material/cloud_off:")
        # The first look is part of the run that has just found the gateway down.
        if next(looks) and session.gateway and session.gateway.alive():
            st.rerun()

    with st.container(key="trouble"):  # which style.css keeps in sight however far down one has read
        st.fragment(look, run_every=PROBE_EVERY)()


main()
