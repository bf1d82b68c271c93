"""Ask and compare: one question, the grounded answer beside the model's own, and a third one beside both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

import streamlit as st

from ui.client import Citation
from ui.conversation import Choice, Side, Turn
from ui.pictures import Picture
from ui.session import LINK, Draft, Session
from ui.views import export, judge
from ui.views.answer import AnswerCard
from ui.views.columns import choose, drawer, third
from ui.views.pictures import pictures_html, receive, show_draft
from ui.views.recall import recall, unsaved
from ui.wording import unseen

KEPT_WITHIN = 2.0  # seconds that a new conversation may take to get its URL
EXAMPLES = ("welcome.example1", "welcome.example2", "welcome.example3")


def show(session: Session) -> None:
    if not opened(session):
        return
    choices = choose(session)
    running = session.conversation.running
    question = ask_box(session, choices)
    # A place of its own: emptied at once when the first answer comes, and not only at its end.
    place = st.empty()
    if not question and not session.conversation.turns:
        with place.container():
            question = welcome(session)
    if question and session.gateway:
        pictures, session.draft = session.draft.pictures, Draft()
        send(session, question, choices, pictures)
    unsaved(session, session.keeper.failure)
    for number, turn in enumerate(session.conversation.turns, start=1):
        show_turn(session, turn, number)
    if session.conversation.turns and not session.conversation.running:
        with st.container(horizontal=True, vertical_alignment="center", key="after"):
            if st.button(session.locale.t("ask.again"), type="tertiary", icon=":material/refresh:"):
                last = session.conversation.turns[-1]
                send(session, last.question, choices, last.pictures, replaces=last)
            export.show(session, session.conversation.turns)
    if running and not session.conversation.running:
        st.rerun()  # it ended while the page was drawn, and nothing else would take the way to stop it away


def send(
    session: Session,
    question: str,
    choices: dict[Side, Choice],
    pictures: Sequence[Picture],
    replaces: Turn | None = None,
) -> None:
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
        pictures=pictures,
    )
    session.keeper.keep(session.gateway, KEPT_WITHIN)
    st.rerun()


def opened(session: Session) -> bool:
    """Open the conversation that the URL names; whether the page can go on."""
    return recall(
        session, LINK, session.conversation.id, session.open, session.new_conversation, "history.gone"
    )


def ask_box(session: Session, choices: Mapping[Side, Choice]) -> str | None:
    """The question line at the bottom, and the way to stop; returns a question that was just sent. Pictures can be attached
    where a column's model sees them."""
    t = session.locale.t
    seen = any(choice.sees for choice in choices.values())
    if session.draft.text:
        st.session_state["question"], session.draft.text = session.draft.text, ""
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
        show_draft(session)
        sent = st.chat_input(
            t("ask.placeholder"),
            key="question",
            accept_file="multiple" if seen else False,
            file_type=["image"] if seen else None,
        )
    return receive(session, sent) if sent else None


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
    pictures = pictures_html(turn.pictures, session.locale) if turn.pictures else ""
    st.html(
        f'<div class="px-question" id="question-{number}"><span>{label}</span><p>{text}</p>{pictures}</div>'
    )
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
    return AnswerCard(
        turn.replies[side],
        name,
        anchor,
        session.locale,
        hidden=turn.hidden,
        look=look,
        note=unseen(turn, side, session.locale),
    )
