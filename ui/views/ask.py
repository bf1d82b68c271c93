"""Ask and compare: one question, the grounded answer beside the model's own, and a third one beside both."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import streamlit as st

from ui.client import Citation, GatewayError
from ui.conversation import Choice, Side, Turn
from ui.session import LINK, Session
from ui.views import export, judge
from ui.views.answer import AnswerCard
from ui.views.columns import choose, drawer, third
from ui.wording import sentence

KEPT_WITHIN = 2.0  # seconds that a new conversation may take to get its URL
EXAMPLES = ("welcome.example1", "welcome.example2", "welcome.example3")


def show(session: Session) -> None:
    if not recall(session):
        return
    choices = choose(session)
    running = session.conversation.running
    question = ask_box(session)
    # A place of its own: emptied at once when the first answer comes, and not only at its end.
    place = st.empty()
    if not question and not session.conversation.turns:
        with place.container():
            question = welcome(session)
    if question and session.gateway:
        send(session, question, choices)
    if session.keeper.failure and not session.failure:
        reason = sentence(session.keeper.failure, session.locale)
        st.warning(f"{session.locale.t('history.unsaved')} {reason}", icon=":material/cloud_off:")
    for number, turn in enumerate(session.conversation.turns, start=1):
        show_turn(session, turn, number)
    if session.conversation.turns and not session.conversation.running:
        with st.container(horizontal=True, vertical_alignment="center", key="after"):
            if st.button(session.locale.t("ask.again"), type="tertiary", icon=":material/refresh:"):
                last = session.conversation.turns[-1]
                send(session, last.question, choices, replaces=last)
            export.show(session, session.conversation.turns)
    if running and not session.conversation.running:
        st.rerun()  # it ended while the page was drawn, and nothing else would take the way to stop it away


def send(session: Session, question: str, choices: dict[Side, Choice], replaces: Turn | None = None) -> None:
    """Ask, have it kept, and draw the page anew."""
    if session.gateway is None:
        return
    session.conversation.ask(
        session.gateway,
        question,
        choices,
        settings=session.settings,
        blind=session.blind,
        replaces=replaces,
    )
    session.keeper.keep(session.gateway, KEPT_WITHIN)
    st.rerun()


def recall(session: Session) -> bool:
    """Open the conversation that the URL names, or have the URL name the open one; whether the page can go on."""
    t = session.locale.t
    conversation, wanted = session.conversation.id, st.query_params.get(LINK)
    if wanted and wanted != conversation and session.gateway:
        try:
            session.open(wanted)
        except GatewayError as error:
            if error.status == 401:
                raise
            if error.status != 404:
                st.error(sentence(error, session.locale))
                st.button(t("gateway.retry"), key="retry-open")
                return False
            session.new_conversation()
            st.warning(t("history.gone"), icon=":material/history_toggle_off:")
    elif conversation and not wanted:
        st.query_params[LINK] = conversation
    return True


def ask_box(session: Session) -> str | None:
    """The question line at the bottom, and the way to stop; returns a question that was just sent."""
    t = session.locale.t
    with st.bottom:
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            with st.container(horizontal=True, vertical_alignment="center", gap="medium", width="content"):
                session.blind = st.toggle(
                    t("judge.blind"),
                    value=session.blind,
                    key=f"blind-{session.locale.code}",
                    help=t("judge.blind_help"),
                )
                third(session)
                # The end of an answer draws the page anew, which would close the drawer under one's hands.
                drawer(session, disabled=session.conversation.running)
            if session.conversation.running:
                st.button(t("ask.stop"), icon=":material/stop_circle:", on_click=session.conversation.stop)
        question: str | None = st.chat_input(t("ask.placeholder"), key="question")
    return question.strip() if question else None


def welcome(session: Session) -> str | None:
    """The first visit in three steps; returns an example question that was clicked."""
    t = session.locale.t
    steps = "".join(
        f"<li><b>{escape(t(f'welcome.step{n}'))}</b><span>{escape(t(f'welcome.step{n}_text'))}</span></li>"
        for n in (1, 2, 3)
    )
    st.html(f'<div class="px-welcome"><h2>{escape(t("welcome.title"))}</h2><ol>{steps}</ol></div>')
    with st.container(key="examples"):
        st.caption(t("welcome.examples"))
        clicked = [
            t(key)
            for key in EXAMPLES
            if st.button(t(key), key=key, type="tertiary", icon=":material/arrow_forward:")
        ]
    return clicked[0] if clicked else None


def show_turn(session: Session, turn: Turn, number: int) -> None:
    """The question, and below it the answers; those still coming are drawn side by side in parallel."""
    label, text = escape(session.locale.t("ask.question")), escape(turn.question)
    st.html(f'<div class="px-question" id="question-{number}"><span>{label}</span><p>{text}</p></div>')
    if number == len(session.conversation.turns) and number > 1:
        # A new question appears below the earlier ones, where nobody would look for it.
        scroll = f"document.getElementById('question-{number}')?.scrollIntoView({{behavior: 'smooth'}})"
        st.html(f"<script>{scroll}</script>", unsafe_allow_javascript=True)
    for side, column in zip(turn.order, st.columns(max(2, len(turn.order)), gap="medium"), strict=False):
        with column:
            if turn.replies[side].running:
                st.fragment(follow, parallel=True)(session, turn, side, f"{side}-{number}")
            else:
                with st.container():
                    card(session, turn, side, f"{side}-{number}", look=session.look).finish()
    if not turn.running and len(turn.answered) > 1:
        judge.show(session, turn, number)


def follow(session: Session, turn: Turn, side: Side, anchor: str) -> None:
    """Draw one side until its end; the side that ends last has the page drawn anew, at rest."""
    card(session, turn, side, anchor).follow()
    if not turn.running:
        st.rerun()


def card(
    session: Session,
    turn: Turn,
    side: Side,
    anchor: str,
    look: Callable[[Citation], None] | None = None,
) -> AnswerCard:
    t = session.locale.t
    choice, letter = turn.choices[side], turn.letter(side)
    model = f"{t('ask.my_documents')} · {choice.model}" if choice.own_documents else choice.model
    name = t("judge.answer", letter=letter) if turn.hidden else f"{letter} · {t(f'ask.{side}')} · {model}"
    return AnswerCard(turn.replies[side], name, anchor, session.locale, hidden=turn.hidden, look=look)
