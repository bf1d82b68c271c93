"""Pieces that several pages draw alike."""

from __future__ import annotations

import json

import streamlit as st

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
