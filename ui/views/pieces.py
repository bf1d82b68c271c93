"""Pieces that several pages draw alike."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from streamlit.delta_generator import DeltaGenerator


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
