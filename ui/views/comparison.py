"""Below a batch: a model compares two of its columns, and what it found reads like a colleague's memo."""

from __future__ import annotations

from html import escape
from itertools import combinations

import streamlit as st

from praxis.i18n import Locale
from praxis.judging.pair import Judge
from praxis.judging.rubric import SHIPPED, read
from ui.batch import Batch
from ui.comparison import Comparison, comparable
from ui.conversation import LETTERS, Side
from ui.memo import Example, Line, Memo, cells, heads, memo_of
from ui.session import Session
from ui.views.cards import cards, remarks_html
from ui.views.pieces import row, status, table
from ui.wording import duration

REDRAW = 1.0  # seconds


def show(session: Session, batch: Batch) -> None:
    comparison = session.comparison
    if batch.running:
        st.fragment(wait, run_every=REDRAW)(session, batch)
    elif comparison is None:
        prepare(session, batch)
    else:
        # While it runs only its progress is drawn anew, and the memo is written when it has ended.
        drawn = st.fragment(progress, run_every=REDRAW if comparison.running else None)
        drawn(session, comparison, comparison.running)
        if not comparison.running:
            show_memo(session, comparison)


def wait(session: Session, batch: Batch) -> None:
    """Say that it is too early, until it is not."""
    if not batch.running:
        st.rerun()
    t = session.locale.t
    st.html(status([t("batch.done", done=batch.done, total=batch.total)], batch.done / batch.total))
    st.info(t("comparison.wait"), icon=":material/hourglass_top:")


def prepare(session: Session, batch: Batch) -> None:
    """Choose the columns, a judge and a rubric, and begin."""
    t, locale = session.locale.t, session.locale
    st.caption(t("comparison.explained"))
    sides = choose_sides(session, batch)
    count = len(comparable(batch, sides))
    if not count:
        st.info(t("comparison.none"), icon=":material/balance:")
        return
    answered = {batch.choices[side].model for side in sides}
    judges = [each.id for each in session.models if each.chats and not each.answers_from_documents]
    left, right = st.columns(2, gap="medium")
    judge: str | None = left.selectbox(
        t("comparison.judge"),
        judges,
        index=next((place for place, name in enumerate(judges) if name not in answered), 0),
        key=f"comparison-judge-{locale.code}",
        help=t("comparison.judge_help"),
        placeholder=t("ask.no_models"),
    )
    rubrics = {name: read(name) for name in SHIPPED}
    chosen: str = right.selectbox(
        t("comparison.rubric"),
        list(rubrics),
        format_func=lambda name: rubrics[name].title(locale.code),
        key=f"comparison-rubric-{locale.code}",
    )
    rubric = rubrics[chosen]
    told = [each.told(locale.code) for each in rubric.criteria]
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(what)}</dd>" for name, what in told)
    st.html(f'<dl class="px-remarks px-rubric">{items}</dl>')
    if judge in answered:
        st.warning(t("comparison.own"), icon=":material/warning:")
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        begin = st.button(
            t("comparison.start", count=count),
            type="primary",
            icon=":material/balance:",
            disabled=judge is None,
        )
        st.caption(t("comparison.cost", count=2 * count))
    if begin and judge:
        who = Judge(judge, rubric, language=locale.code)
        session.begin_comparison(Comparison(who, sides, batch))
        st.rerun()


def choose_sides(session: Session, batch: Batch) -> tuple[Side, Side]:
    """The two columns that are compared; where there are three, somebody says which."""
    t, order = session.locale.t, list(batch.choices)
    pairs = list(combinations(order, 2))
    if len(pairs) == 1:
        return pairs[0]

    def called(place: int) -> str:
        a, b = (LETTERS[order.index(side)] for side in pairs[place])
        return t("judge.pair", a=a, b=b)

    chosen: int = st.segmented_control(
        t("comparison.which"),
        range(len(pairs)),
        default=0,
        required=True,
        format_func=called,
        key=f"comparison-pair-{session.locale.code}",
    )
    return pairs[chosen]


def progress(session: Session, comparison: Comparison, running: bool) -> None:
    """How far it is, with the way to stop it, to go on, or to compare anew."""
    if running and not comparison.running:
        st.rerun()  # it has ended: the page is drawn anew, at rest
    t, left = session.locale.t, len(comparison.left)
    told = [t("comparison.done", done=comparison.done, total=comparison.total)]
    if lost := len(comparison.failures):
        told.append(t("comparison.lost", count=lost))
    if running and (seconds := comparison.seconds_left) is not None:
        told.append(t("batch.left", time=duration(seconds, session.locale)))
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="comparison-progress"):
        st.html(status(told, comparison.done / max(1, comparison.total) if running else None))
        if running:
            st.button(t("comparison.stop"), icon=":material/stop_circle:", on_click=comparison.stop)
            return
        if left and st.button(t("comparison.retry", count=left), icon=":material/refresh:"):
            session.go_on(comparison)
            st.rerun()
        if st.button(t("comparison.again"), type="tertiary", icon=":material/restart_alt:"):
            session.put_comparison_away()
            st.rerun()


def show_memo(session: Session, comparison: Comparison) -> None:
    """The memo, its examples open to the whole answers."""
    locale = session.locale
    memo = memo_of(comparison, locale)
    with st.container(key="memo", border=True, gap="small"):
        st.html(opening_html(memo))
        if comparison.judged:
            st.html(lines_html(memo, locale))
            st.caption(locale.t("comparison.read"))
        for heading, examples in memo.examples:
            st.html(f'<h4 class="px-heading">{escape(heading)}</h4>')
            for example in examples:
                show_example(session, comparison, example)
        doubts = "".join(f"<li>{escape(each)}</li>" for each in memo.doubts)
        title = escape(locale.t("comparison.doubts"))
        st.html(f'<h4 class="px-heading">{title}</h4><ul class="px-doubts">{doubts}</ul>')


def show_example(session: Session, comparison: Comparison, example: Example) -> None:
    """A question with what the judge said; opened, with both answers below."""
    opened = session.opened == example.number
    words, button = st.columns([8, 1.2], gap="medium", vertical_alignment="top")
    asked = (
        f'<div class="px-cell px-asked"><i>{example.number}</i><span>{escape(example.question)}</span></div>'
    )
    words.html(asked + remarks_html(example.remarks))

    def toggle() -> None:
        session.opened = None if opened else example.number

    with button.container(horizontal_alignment="right"):
        st.button(
            session.locale.t("batch.close" if opened else "batch.open"),
            icon=":material/expand_less:" if opened else ":material/expand_more:",
            key=f"example-{example.number}",
            type="tertiary",
            on_click=toggle,
        )
    if opened:
        cards(session, example.number, comparison.batch.turns[example.number - 1])


def opening_html(memo: Memo) -> str:
    """Title, who was compared by whom, and what was found, as HTML."""
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in memo.facts)
    summary = "".join(f"<p>{escape(each)}</p>" for each in memo.summary)
    return f'<header class="px-memo"><h3>{escape(memo.title)}</h3><dl>{facts}</dl>{summary}</header>'


def lines_html(memo: Memo, locale: Locale) -> str:
    """Each item with how often either was better, as HTML."""
    return table("memo-lines", heads(memo, locale), "".join(_line(each, locale) for each in memo.lines))


def _line(line: Line, locale: Locale) -> str:
    leader = {1: "px-first", -1: "px-second"}.get(line.leader, "px-soft")
    name, *counts, rate, told = map(escape, cells(line, locale))
    return row(
        (
            f"<b>{name}</b><small>{escape(line.meaning)}</small>",
            *counts,
            f"{_bar(line)}<small>{rate}</small>",
            f'<span class="{leader}">{told}</span>',
        )
    )


def _bar(line: Line) -> str:
    """The share with its interval, on a scale whose middle is a half."""
    if line.rate is None:
        return ""
    share, low, high = (each * 100 for each in line.rate)
    return (
        f'<i class="px-scale"><u style="left:{low:.1f}%;width:{high - low:.1f}%"></u>'
        f'<b style="left:{share:.1f}%"></b></i>'
    )
