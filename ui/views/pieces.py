"""Pieces that several pages draw alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from html import escape

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime import get_instance
from streamlit.runtime.scriptrunner import get_script_run_ctx

from praxis.i18n import Locale


def translate_uploader(locale: Locale) -> None:
    """The file uploader's own words are English only; style.css shows these in their place."""
    browse, drop = (
        json.dumps(locale.t(f"documents.{name}"), ensure_ascii=False) for name in ("browse", "drop")
    )
    st.html(f"<style>:root {{ --px-browse: {browse}; --px-drop: {drop}; }}</style>")


def progress_bar(share: float) -> str:
    """A bar as HTML."""
    percent = f"{share:.0%}"
    return (
        f'<div class="px-progress" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{percent[:-1]}"><i style="width:{percent}"></i></div>'
    )


def status(told: Iterable[str], share: float | None = None) -> str:
    """How far something is, as HTML; with a bar where there is a `share`."""
    bar = "" if share is None else progress_bar(share)
    return f'<div class="px-batch" role="status"><b>{escape(" · ".join(told))}</b>{bar}</div>'


def watched() -> Callable[[], bool]:
    """Whether this browser is still connected, for whoever asks from another thread."""
    context, runtime = get_script_run_ctx(), get_instance()
    session = context.session_id if context else ""
    return lambda: bool(runtime.is_active_session(session))


def table(name: str, heads: Iterable[str], body: str) -> str:
    """A table as HTML, below `heads`; `body` is HTML already."""
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    return f'<table class="px-list px-{name}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def row(cells: Iterable[str]) -> str:
    """A row of a table; its cells are HTML already."""
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def facts(places: Iterable[DeltaGenerator], told: Iterable[tuple[str, str]]) -> None:
    """In each place what is told, with its small print below; both are HTML already."""
    for place, (value, small) in zip(places, told, strict=False):
        note = f"<small>{small}</small>" if small else ""
        place.html(f'<div class="px-fact">{value}{note}</div>')
