"""Below the answers: which of two is better, why, and in a blind trial whose they were."""

from __future__ import annotations

from html import escape
from itertools import combinations

import streamlit as st

from ui.client import GatewayError
from ui.conversation import Conversation, Side, Turn
from ui.session import Session
from ui.votes import COMMENT, TAGS, VERDICTS, Ballot, Votes
from ui.wording import sentence
from ui.wording import verdict as words

Pair = tuple[Side, Side]

KEPT_WITHIN = 5.0  # seconds that an answer may take to be kept before it can be judged


def show(session: Session, turn: Turn, number: int) -> None:
    """The four verdicts; once one is given, its tags and a comment."""
    t = session.locale.t
    with st.container(key=f"judge-{number}", border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.html(f'<div class="px-judge">{escape(t("judge.title"))}</div>', width="content")
            pair = choose_pair(session, turn, number)
            letters = turn.letter(pair[0]), turn.letter(pair[1])
            for verdict in VERDICTS:
                given = turn.vote is not None and turn.judged == pair and turn.vote.verdict == verdict
                if st.button(
                    words(verdict, letters, session.locale),
                    key=f"verdict-{verdict}-{number}",
                    type="primary" if given else "secondary",
                ):
                    give(session, turn, pair, verdict)
        if turn.judged:
            explain(session, turn, number)
        elif turn.blind:
            st.caption(t("judge.blind_hint"))


def choose_pair(session: Session, turn: Turn, number: int) -> Pair:
    """The two answers that are compared; where there are three, somebody says which."""
    t = session.locale.t
    pairs = list(combinations(turn.answered, 2))
    if len(pairs) == 1:
        return pairs[0]
    chosen: int = st.segmented_control(
        t("judge.which"),
        range(len(pairs)),
        default=pairs.index(turn.judged) if turn.judged in pairs else 0,
        required=True,
        format_func=lambda place: t(
            "judge.pair", a=turn.letter(pairs[place][0]), b=turn.letter(pairs[place][1])
        ),
        key=f"pair-{number}-{session.locale.code}",
        label_visibility="collapsed",
    )
    return pairs[chosen]


def explain(session: Session, turn: Turn, number: int) -> None:
    """Tags and a comment for the verdict."""
    t, vote, judged = session.locale.t, turn.vote, turn.judged
    assert vote is not None
    assert judged is not None
    tags, comment = turn.unsaved or (list(vote.tags), vote.comment)
    keys = [f"{part}-{turn.item}-{session.locale.code}" for part in ("tags", "comment")]

    def enter() -> None:
        # Each language has its own widgets: what is not saved yet goes along.
        entered, said = (st.session_state[key] for key in keys)
        turn.unsaved = list(entered), said

    with st.container(key=f"explain-{number}"):
        reasons, words, save = st.columns([2, 2.4, 0.7], vertical_alignment="bottom", gap="medium")
        tags = reasons.pills(
            t("judge.tags"),
            TAGS,
            selection_mode="multi",
            default=tags,
            format_func=lambda tag: t(f"judge.tag.{tag}"),
            key=keys[0],
            on_change=enter,
        )
        comment = words.text_input(
            t("judge.comment"),
            value=comment,
            placeholder=t("judge.comment_hint"),
            max_chars=COMMENT,
            key=keys[1],
            on_change=enter,
        )
        if save.button(t("judge.save"), key=f"save-{number}", width="stretch"):
            give(session, turn, judged, vote.verdict, tags, comment)


def give(
    session: Session,
    turn: Turn,
    pair: Pair,
    verdict: str,
    tags: list[str] | None = None,
    comment: str = "",
) -> None:
    """Have the gateway keep the verdict, and draw the page anew."""
    gateway, former = session.gateway, turn.vote
    if gateway is None:
        return
    try:
        if not turn.kept:
            session.keeper.keep(gateway, KEPT_WITHIN)
        turn.vote = Votes(gateway).cast(_ballot(session.conversation, turn, pair, verdict, tags, comment))
        if tags is not None:
            turn.unsaved = None
    except GatewayError as error:
        if error.status == 401:
            raise
        st.error(sentence(error, session.locale))
        return
    if former:
        st.toast(session.locale.t("judge.saved"), icon=":material/check:")
    st.rerun()


def _ballot(
    conversation: Conversation, turn: Turn, pair: Pair, verdict: str, tags: list[str] | None, comment: str
) -> Ballot:
    """A change of mind keeps the reasons, and is blind only while nobody has been told whom it concerns."""
    former = turn.vote
    if conversation.id is None or not turn.kept:
        raise GatewayError("not_kept")
    if tags is None and former:
        tags, comment = list(former.tags), former.comment
    a, b = (turn.answers[side] for side in pair)
    same = former is not None and turn.judged == pair and verdict == former.verdict
    blind = turn.blind if former is None else former.blind and same
    return Ballot(conversation.id, turn.item, a, b, verdict, tags or (), comment, blind)
