"""A search in a knowledge base: what it finds, how well that answers, and of which edition it is."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from html import escape

import streamlit as st

from praxis.i18n import Locale
from ui.client import Json, Store
from ui.found import marked
from ui.library import Found, Library
from ui.markup import source_name
from ui.session import Session

MOST = 20
"""Passages found that are shown."""
LONGEST = 2000  # characters of a question
EDITIONS = ("in_force", "all", "on_day")


def show(session: Session, library: Library, store: Store, stores: Sequence[Store]) -> None:
    t = session.locale.t
    words, which, day = st.columns([3, 1.4, 1.1], vertical_alignment="bottom")
    query = words.text_input(
        t("finding.query"),
        placeholder=t("finding.hint"),
        icon=":material/search:",
        max_chars=LONGEST,
        key=f"finding-{store.id}",
    ).strip()
    editions: str = which.selectbox(
        t("finding.editions"), EDITIONS, format_func=lambda name: t(f"finding.editions.{name}")
    )
    on: datetime.date | None = None
    if editions == "on_day":
        on = day.date_input(
            t("finding.day"),
            value="today",
            min_value=datetime.date(1949, 10, 1),
            max_value=datetime.date(2100, 12, 31),
            format="YYYY-MM-DD",
        )
    if not query:
        st.caption(t("finding.explained"))
        return
    # What was found stays until something else is asked for: a search leaves a line in the audit trail.
    asked = (store.id, query, editions, on)
    if st.session_state.get("found", (None,))[0] != asked:
        with st.spinner(t("phase.retrieving")):
            found = library.search(store.id, query, limit=MOST, filters=filters(editions, on))
        st.session_state["found"] = (asked, found)
    found = st.session_state["found"][1]
    if not found:
        st.info(t("finding.none" if store.completed else "documents.empty"), icon=":material/search_off:")
        return
    st.caption(t("finding.count", count=len(found)))
    st.html("".join(found_html(each, query, number, session.locale) for number, each in enumerate(found, 1)))


def filters(editions: str, on: datetime.date | None) -> Json | None:
    """Which editions of laws are searched; None is those in force."""
    if editions == "on_day" and on:
        return {"type": "eq", "key": "as_of", "value": on.isoformat()}
    if editions == "all":
        kinds = ("eq", "ne")
        return {
            "type": "or",
            "filters": [{"type": kind, "key": "superseded", "value": True} for kind in kinds],
        }
    return None


def found_html(found: Found, query: str, number: int, locale: Locale) -> str:
    """A passage found, folded but for the first three: its source, its score and its text with the words found."""
    t = locale.t
    text = "".join(
        f"<mark>{escape(run)}</mark>" if is_found else escape(run)
        for run, is_found in marked(query, found.text.strip())
    )
    name = escape(source_name(found.law, found.article, found.filename, locale))
    old = (
        f'<span class="px-badge px-unverified">{escape(state(found, locale))}</span>'
        if found.superseded
        else ""
    )
    facts = [found.filename if found.law else ""]
    facts.append(t("sources.page", page=found.page) if found.page else "")
    facts.append(t("sources.version", version=found.version) if found.version else "")
    facts.append(state(found, locale) if found.effective or found.superseded else "")
    line = "".join(f"<span>{escape(fact)}</span>" for fact in facts if fact)
    score = f"{found.score:.2f}"
    label = escape(t("finding.score", score=score), quote=True)
    return (
        f'<details class="px-citation px-found"{" open" if number <= 3 else ""}><summary>'
        f'<span class="px-marker">{number}</span><span class="px-source">{name}</span>{old}'
        f'<span class="px-score" title="{label}" aria-label="{label}"><i style="width:{found.score:.0%}"></i></span>'
        f"<b>{score}</b></summary>"
        f'<div class="px-passage"><div class="px-article">{text}</div><p class="px-facts">{line}</p></div></details>'
    )


def state(found: Found, locale: Locale) -> str:
    """Since when the edition is in force, or until when it was."""
    if found.superseded and found.until:
        return locale.t("documents.superseded_until", date=found.until)
    if found.superseded:
        return locale.t("documents.not_yet", date=found.effective or "?")
    return locale.t("finding.since", date=found.effective or "?")
