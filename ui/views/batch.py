"""Many questions at once: a spreadsheet of them through the same columns, and a table of what came."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import streamlit as st

from ui.batch import Batch, different, failed
from ui.client import GatewayError
from ui.conversation import LETTERS, Choice, Side, Turn
from ui.markup import plain
from ui.questions import FILE_LIMIT, LENGTH, Questions, Sheet, Unreadable, read
from ui.session import BATCH_LINK, Session
from ui.views import comparison, export
from ui.views.cards import cards
from ui.views.columns import choose, drawer, third
from ui.views.pieces import status
from ui.views.recall import recall, unsaved
from ui.wording import answerer, duration, figures, sentence, settings_set

TYPES = ["csv", "tsv", "txt", "xlsx", "xls"]
REDRAW = 1.0  # seconds
PAGE = 20  # questions
EXCERPT = 400  # characters
KEPT_WITHIN = 2.0  # seconds that a new batch may take to get its URL
PARTS = ("answers", "memo")
FILTERS: dict[str, Callable[[Turn], bool]] = {
    "all": lambda _: True,
    "different": different,
    "failed": failed,
}


def show(session: Session) -> None:
    gateway = session.gateway
    if gateway is None or session.failure or not opened(session):
        return
    t, batch, keeper = session.locale.t, session.batch, session.batch_keeper
    if batch is None or keeper is None:
        choices = choose(session)
        with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
            third(session)
            drawer(session)
        st.subheader(t("batch.title"), anchor=False)
        st.caption(t("batch.explained"))
        prepare(session, choices)
        return
    unsaved(session, keeper.failure)
    if heading(session, batch) == "memo":
        comparison.show(session, batch)
    else:
        # While it runs, the table is drawn anew by itself, and the rest of the page is left alone.
        drawn = st.fragment(progress, run_every=REDRAW if batch.running else None)
        drawn(session, batch, batch.running)
    if not batch.running and any(turn.replies for turn in batch.turns):
        export.show(session, batch.turns, batch.name, session.comparison)


def opened(session: Session) -> bool:
    """Open the batch that the URL names; whether the page can go on."""
    shown = session.batch.id if session.batch else None

    def go(batch: str) -> None:
        with st.spinner(session.locale.t("batch.opening")):
            session.open_batch(batch)

    return recall(session, BATCH_LINK, shown, go, session.new_batch, "batch.gone")


def prepare(session: Session, choices: dict[Side, Choice]) -> None:
    """Choose a file and its column, and begin."""
    t = session.locale.t
    file = st.file_uploader(t("batch.pick", size=FILE_LIMIT), type=TYPES, key="batch-file")
    if file is None:
        return
    sheet = _sheet(file.file_id, file.getvalue())
    if isinstance(sheet, Unreadable):
        st.error(t(f"batch.file.{sheet.reason}", **sheet.values))
        return
    questions = choose_questions(session, sheet)
    if questions is None:
        return
    obstacle = next((choice.obstacle for choice in choices.values() if choice.obstacle), None)
    if obstacle:
        st.error(sentence(GatewayError(obstacle), session.locale))
    label = t("batch.start", count=len(questions.asked), columns=len(choices))
    if st.button(label, type="primary", icon=":material/play_arrow:", disabled=bool(obstacle)):
        batch = Batch.of(file.name, questions.asked, choices, session.settings)
        session.begin_batch(batch, KEPT_WITHIN)
        st.rerun()


def choose_questions(session: Session, sheet: Sheet) -> Questions | None:
    """The questions of a column, which is told by its name or by somebody; None while there are none."""
    t = session.locale.t
    left, right = st.columns(2, gap="medium", vertical_alignment="bottom")
    column: int | None = left.selectbox(
        t("batch.column"),
        range(len(sheet.columns)),
        index=sheet.likely,
        format_func=lambda place: sheet.columns[place],
        placeholder=t("batch.column_hint"),
    )
    headed: bool = right.toggle(t("batch.headed"), value=sheet.headed, help=t("batch.headed_help"))
    if column is None:
        return None
    questions = sheet.questions(column, headed=headed)
    if not questions.asked:
        st.warning(t("batch.none"))
        return None
    rows = "".join(f"<li>{escape(question)}</li>" for question in questions.asked[:3])
    st.html(f'<ol class="px-preview">{rows}</ol>')
    told = [t("batch.found", count=len(questions.asked))]
    if questions.repeated:
        told.append(t("batch.repeated", count=questions.repeated))
    if questions.too_long:
        told.append(t("batch.too_long", count=questions.too_long, limit=LENGTH))
    if sheet.cut or questions.found > len(questions.asked):
        told.append(t("batch.cut", count=len(questions.asked)))
    st.caption(" · ".join(told))
    return questions


def heading(session: Session, batch: Batch) -> str:
    """What was asked of whom, and the way to the next file; the one of `PARTS` that is to be shown."""
    t = session.locale.t
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.subheader(plain(batch.name), anchor=False, width="content")
        if st.button(t("batch.new"), type="tertiary", icon=":material/note_add:"):
            session.new_batch()
            st.rerun()
    if told := settings_set(batch.settings, session.locale):
        st.caption(plain(" · ".join(told)))
    part: str = st.segmented_control(
        t("batch.part"),
        PARTS,
        default="answers",
        required=True,
        format_func=lambda part: t(f"batch.part.{part}"),
        key=f"batch-part-{session.locale.code}",
        label_visibility="collapsed",
    )
    return part


def progress(session: Session, batch: Batch, running: bool) -> None:
    """How far it is, with the way to stop it or to go on, and the table."""
    if running and not batch.running:
        st.rerun()  # it has ended: the page is drawn anew, at rest
    if batch.id and BATCH_LINK not in st.query_params:
        st.query_params[BATCH_LINK] = batch.id
    t, left, total = session.locale.t, batch.left, len(batch.turns)
    told = [t("batch.done", done=batch.done, total=total)]
    if lost := sum(map(failed, batch.turns)):
        told.append(t("batch.lost", count=lost))
    if running and (seconds := batch.seconds_left) is not None:
        told.append(t("batch.left", time=duration(seconds, session.locale)))
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="batch-progress"):
        st.html(status(told, batch.done / total if running else None))
        if running:
            st.button(t("ask.stop"), icon=":material/stop_circle:", on_click=batch.stop)
        elif left and st.button(t("batch.retry", count=len(left)), icon=":material/refresh:"):
            session.go_on(batch)
            st.rerun()
    table(session, batch)


def table(session: Session, batch: Batch) -> None:
    """The questions that the filter lets through, page by page."""
    t = session.locale.t
    wanted: str = st.segmented_control(
        t("batch.filter"),
        list(FILTERS),
        default="all",
        required=True,
        format_func=lambda name: t(f"batch.filter.{name}"),
        key=f"batch-filter-{session.locale.code}",
        label_visibility="collapsed",
    )
    shown = [(number, turn) for number, turn in enumerate(batch.turns, start=1) if FILTERS[wanted](turn)]
    if not shown:
        st.info(t("batch.none_shown"), icon=":material/filter_alt_off:")
        return
    pages = -(-len(shown) // PAGE)
    widths = [2.6, *(3 for _ in batch.choices), 1.1]
    with st.container(key="batch", border=True, gap=None):
        head = st.columns(widths, gap="medium")
        head[0].caption(t("ask.question"))
        for letter, (side, choice), column in zip(LETTERS, batch.choices.items(), head[1:], strict=False):
            column.caption(plain(f"{letter} · {t(f'ask.{side}')} · {answerer(choice, session.locale)}"))
        place = st.container(key="batch-rows", gap=None)
    page = st.pagination(pages, key=f"batch-page-{wanted}") if pages > 1 else 1
    with place:
        for number, turn in shown[(page - 1) * PAGE : page * PAGE]:
            row(session, batch, number, turn, widths)


def row(session: Session, batch: Batch, number: int, turn: Turn, widths: list[float]) -> None:
    """A question with the beginning of each answer; opened, with the whole of them below."""
    opened = session.opened == number
    question, *answers, button = st.columns(widths, gap="medium", vertical_alignment="top")
    question.html(f'<div class="px-cell px-asked"><i>{number}</i><span>{escape(turn.question)}</span></div>')
    for side, column in zip(batch.choices, answers, strict=True):
        column.html(_cell(session, turn, side))

    def toggle() -> None:
        session.opened = None if opened else number

    button.button(
        session.locale.t("batch.close" if opened else "batch.open"),
        icon=":material/expand_less:" if opened else ":material/expand_more:",
        key=f"row-{number}",
        type="tertiary",
        on_click=toggle,
        disabled=not turn.replies,
    )
    if opened and turn.replies:
        cards(session, number, turn)


def _cell(session: Session, turn: Turn, side: Side) -> str:
    """The beginning of an answer with its figures, or where it is, or what went wrong."""
    t, reply = session.locale.t, turn.replies.get(side)
    if reply is None:
        return f'<div class="px-cell"><small>{escape(t("batch.waiting"))}</small></div>'
    text, note = reply.text.strip(), ""
    if reply.running:
        note = f"<small>{escape(t(f'phase.{reply.phase}'))}</small>"
    elif reply.error:
        note = f'<b class="px-lost">{escape(sentence(reply.error, session.locale))}</b>'
    elif not reply.whole:
        note = f'<b class="px-lost">{escape(t("phase.stopped"))}</b>'
    else:
        note = f"<small>{escape(figures(reply, session.locale))}</small>"
    return f'<div class="px-cell"><span>{escape(text[:EXCERPT])}</span>{note}</div>'


def _sheet(file: str, content: bytes) -> Sheet | Unreadable:
    """The table in an uploaded file, read once."""
    known: tuple[str, Sheet | Unreadable] | None = st.session_state.get("batch-sheet")
    if known is None or known[0] != file:
        try:
            known = (file, read(content))
        except Unreadable as problem:
            known = (file, problem)
        st.session_state["batch-sheet"] = known
    return known[1]
