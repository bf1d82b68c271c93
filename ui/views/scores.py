"""What revisions reached on data sets, as comparisons recorded it with them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from praxis.i18n import Locale
from ui.adapters import Adapter, Adapters, Figure, Revision, Score
from ui.client import Gateway
from ui.session import Session
from ui.views import pieces
from ui.wording import moment

Row = tuple[Revision, Score]


def show(session: Session, gateway: Gateway) -> None:
    t = session.locale.t
    measured = [(adapter, rows) for adapter in Adapters(gateway).all() for rows in by_dataset(adapter)]
    if not measured:
        st.info(t("scores.empty"), icon=":material/query_stats:")
        return
    for adapter, rows in measured:
        dataset = rows[0][1].dataset
        st.html(
            f'<b class="px-title">{escape(adapter.name)}</b> '
            f'<span class="px-soft">{escape(t("scores.on", dataset=dataset))}</span>'
        )
        st.html(table(rows, session.locale))
    st.caption(t("scores.explained"))


def by_dataset(adapter: Adapter) -> list[list[Row]]:
    """The adapter's revisions with their scores, those of a data set together."""
    told: dict[str, list[Row]] = {}
    for revision in adapter.revisions:
        for score in revision.scores:
            told.setdefault(score.dataset, []).append((revision, score))
    return list(told.values())


def table(rows: Sequence[Row], locale: Locale) -> str:
    """The revisions on one data set as HTML, a column for each metric, the highest mean of each set off."""
    t = locale.t
    metrics = list(dict.fromkeys(name for _, score in rows for name in score.metrics))
    best = {
        name: max(score.metrics[name].mean for _, score in rows if name in score.metrics) for name in metrics
    }
    heads = [t("adapters.revision"), t("scores.answered"), *metrics, t("adapters.when")]
    body = "".join(_row(revision, score, best, locale) for revision, score in rows)
    return pieces.table("scores", heads, body)


def _row(revision: Revision, score: Score, best: dict[str, float], locale: Locale) -> str:
    state = escape(locale.t(f"adapters.state.{revision.state}"))
    cells = [
        f'<code>{escape(revision.revision)}</code><small class="px-{revision.state}">{state}</small>',
        f"{score.answered} / {score.rows}",
        *(_figure(score.metrics.get(name), highest) for name, highest in best.items()),
        f"{escape(moment(int(score.at)))}<small>{escape(score.who)}</small>",
    ]
    return pieces.row(cells)


def _figure(figure: Figure | None, highest: float) -> str:
    if figure is None:
        return "–"
    mean = f"{figure.mean:.2f}"
    told = f"<b>{mean}</b>" if figure.mean == highest else mean
    if figure.low is not None and figure.high is not None:
        told += f"<small>{figure.low:.2f}–{figure.high:.2f}</small>"
    return told
