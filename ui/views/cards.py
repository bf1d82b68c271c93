"""The whole answers to a question of a batch, side by side, and what a judge said of them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from ui.conversation import Turn
from ui.memo import Remark, remarks
from ui.session import Session
from ui.views.answer import AnswerCard
from ui.wording import answerer


def cards(session: Session, number: int, turn: Turn) -> None:
    """The answers to the question of that number."""
    st.html(f'<div class="px-question"><p>{escape(turn.question)}</p></div>')
    for side, column in zip(turn.order, st.columns(max(2, len(turn.order)), gap="medium"), strict=False):
        reply = turn.replies.get(side)
        if reply is None:
            continue
        name = f"{turn.letter(side)} · {session.locale.t(f'ask.{side}')} · {answerer(turn.choices[side], session.locale)}"
        with column:
            card = AnswerCard(reply, name, f"batch-{side}-{number}", session.locale, look=session.look)
            if reply.running:
                card.draw()
            else:
                card.finish()
    comparison = session.comparison
    if comparison and (trial := comparison.trials.get(number)) and trial.findings:
        st.html(remarks_html(remarks(comparison, trial, session.locale)))


def remarks_html(said: Sequence[Remark]) -> str:
    """What the judge said of a question, as HTML."""
    rows = "".join(
        f"<dt>{escape(each.name)}</dt><dd><b>{escape(each.told)}</b> {escape(each.reason)}</dd>"
        for each in said
    )
    return f'<dl class="px-remarks">{rows}</dl>'
