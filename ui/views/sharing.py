"""With whom a knowledge base is shared: a tenant or one key, to read or to add and remove files, until taken back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from ui.client import GatewayError, Store
from ui.library import Library, Share
from ui.markup import plain
from ui.session import Session
from ui.views.confirmation import confirm
from ui.wording import moment, sentence

WIDTHS = (3.4, 2.4, 1.8, 1.6)
LONGEST = 128


def show(session: Session, library: Library, store: Store, stores: Sequence[Store]) -> None:
    t = session.locale.t
    st.caption(t("sharing.explained"))
    share_form(session, library, store)
    shares = library.shares(store.id)
    st.subheader(t("sharing.list", count=len(shares)), anchor=False)
    if not shares:
        st.info(t("sharing.none"), icon=":material/lock:")
        return
    with st.container(key="shares", border=True, gap=None):
        head = st.columns(WIDTHS)
        for column, name in zip(head, ("whom", "right", "since"), strict=False):
            column.caption(t(f"sharing.column.{name}"))
        for share in shares:
            show_share(session, library, store, share)


def share_form(session: Session, library: Library, store: Store) -> None:
    t = session.locale.t
    with st.form("share", clear_on_submit=False):
        kind, name, right = st.columns([1.1, 2, 1.6], vertical_alignment="bottom")
        whom: str = kind.radio(
            t("sharing.kind"), ["tenant", "key"], format_func=lambda each: t(f"sharing.kind.{each}")
        )
        named = name.text_input(
            t("sharing.name"), placeholder=t("sharing.name_hint"), max_chars=LONGEST
        ).strip()
        may: str = right.selectbox(
            t("sharing.right"), ["read", "write"], format_func=lambda each: t(f"sharing.right.{each}")
        )
        if not st.form_submit_button(t("sharing.share"), type="primary", icon=":material/person_add:"):
            return
    if not named:
        st.error(t("sharing.name_empty"))
        return
    try:
        library.share(store.id, {whom: named}, may)
    except GatewayError as error:
        if error.status == 401:
            raise
        st.error(sentence(error, session.locale))


def show_share(session: Session, library: Library, store: Store, share: Share) -> None:
    t = session.locale.t
    whom, right, since, action = st.columns(WIDTHS, vertical_alignment="center")
    kind = "tenant" if share.tenant else "key"
    name = share.tenant or share.key or ""
    whom.markdown(f"{plain(name)} :gray[· {t(f'sharing.kind.{kind}')}]")
    right.text(t(f"sharing.right.{share.right}"))
    since.text(moment(share.created_at))
    if action.button(
        t("sharing.take_back"), key=f"unshare-{kind}-{name}", type="tertiary", icon=":material/person_remove:"
    ):
        question = t("sharing.take_back_confirm", name=plain(name))
        confirm(session, question, partial(library.unshare, store.id, share.whom), "sharing.take_back")
