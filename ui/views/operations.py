"""For admin keys: what runs, which fine-tunes answer, who uses how much, and what was measured."""

from __future__ import annotations

import streamlit as st

from ui.session import Session
from ui.views import adapters, fleet, keys, scores

PARTS = {"fleet": fleet.show, "adapters": adapters.show, "keys": keys.show, "scores": scores.show}


def show(session: Session) -> None:
    if session.gateway is None or session.failure:
        return
    t = session.locale.t
    part: str = st.segmented_control(
        t("nav.operations"),
        list(PARTS),
        format_func=lambda part: t(f"operations.{part}"),
        default="fleet",
        required=True,
        key="operations",
        label_visibility="collapsed",
        persist_state="session",
    )
    PARTS[part](session, session.gateway)
