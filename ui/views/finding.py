"""A search in a knowledge base: what it finds, how well that answers, and of which edition it is."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from html import escape

import streamlit as st

from praxis.i18n import Locale
from ui.client import Citation, Json, Store
from ui.found import words_html
from ui.library import Found, Library
from ui.markup import source_name
from ui.session import Session
from ui.views import preview

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
        persist_state="session",
    ).strip()
    editions: str = which.selectbox(
        t("finding.editions"),
        EDITIONS,
        format_func=lambda name: t(f"finding.editions.{name}"),
        key=f"finding-editions-{session.locale.code}",
        persist_state="session",
    )
    on: datetime.date | None = None
    if editions == "on_day":
        on = day.date_input(
            t("finding.day"),
            value="today",
            min_value=datetime.date(1949, 10, 1),
            max_value=datetime.date(2100, 12, 31),
            format="YYYY-MM-DD",
            key="finding-day",
            persist_state="session",
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
    for number, each in enumerate(found, 1):
        show_found(session, store, each, query, number)


def show_found(session: Session, store: Store, found: Found, query: str, number: int) -> None:
    """A passage that was found, with the ways to its source."""
    t = session.locale.t
    with st.container(key=f"source-found-{number}", gap=None):
        st.html(found_html(found, query, number, session.locale))
        with st.container(horizontal=True, gap=None):
            st.button(
                t("finding.open"),
                key=f"open-{number}",
                icon=":material/article:",
                type="tertiary",
                on_click=preview.open_found,
                args=(store.id, found, query),
            )
            if found.page is not None:
                st.button(
                    t("page.look", page=found.page),
                    key=f"look-{number}",
                    icon=":material/find_in_page:",
                    type="tertiary",
                    on_click=session.look,
                    args=(cited(found, number),),
                )


def cited(found: Found, number: int) -> Citation:
    """What was found as a citation, by which its page is shown."""
    return Citation(
        number,
        found.file,
        found.filename,
        found.text.strip(),
        found.start,
        found.end,
        page=found.page,
        law=found.law,
        article=found.article,
        version=found.version,
    )


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
    text = words_html(query, found.text)
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
