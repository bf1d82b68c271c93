"""How often each model won, and every vote as a file."""

from __future__ import annotations

from html import escape

import streamlit as st

from praxis.i18n import Locale
from ui.session import Session
from ui.spreadsheet import csv_file
from ui.votes import Contender, Standing, Vote, Votes
from ui.wording import moment, verdict


def show(session: Session) -> None:
    if session.gateway is None or session.failure:
        return
    locale, votes = session.locale, Votes(session.gateway)
    t = locale.t
    st.subheader(t("results.title"), anchor=False)
    standings = votes.standings()
    if not standings:
        st.info(t("results.empty"), icon=":material/how_to_vote:")
        return
    st.html(table(standings, locale))
    st.caption(t("results.explained"))
    given = votes.all()
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            t("results.download"),
            standings_csv(standings, locale),
            file_name="praxis-results.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
        st.download_button(
            t("results.download_votes", count=len(given)),
            votes_csv(given, locale),
            file_name="praxis-votes.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )


def table(standings: list[Standing], locale: Locale) -> str:
    """The standings as HTML: each with its share of wins, drawn as a bar with its interval."""
    t = locale.t
    numbers = ("votes", "wins", "losses", "ties", "both_bad")
    head = "".join(f"<th>{escape(t(f'results.{name}'))}</th>" for name in ("model", "rate", *numbers))
    rows = "".join(_row(each, locale) for each in standings)
    return f'<table class="px-results"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def standings_csv(standings: list[Standing], locale: Locale) -> bytes:
    t = locale.t
    names = ("model", "side", "votes", "wins", "losses", "ties", "both_bad", "rate", "low", "high")
    rows = (
        (
            each.contender.model,
            _side(each.contender, locale),
            each.votes,
            each.wins,
            each.losses,
            each.ties,
            each.both_bad,
            round(each.rate, 4),
            round(each.low, 4),
            round(each.high, 4),
        )
        for each in standings
    )
    return csv_file([t(f"results.{name}") for name in names], rows)


def votes_csv(votes: list[Vote], locale: Locale) -> bytes:
    """Every vote with who stood where, so that the file needs nothing else to be read."""
    t = locale.t
    names = ("date", "question", "a", "b", "verdict", "tags", "comment", "blind")
    rows = (
        (
            moment(vote.created_at),
            vote.question,
            f"{_side(vote.a, locale)} · {vote.a.model}",
            f"{_side(vote.b, locale)} · {vote.b.model}",
            verdict(vote.verdict, ("A", "B"), locale),
            " · ".join(t(f"judge.tag.{tag}") for tag in vote.tags),
            vote.comment,
            t("results.yes") if vote.blind else t("results.no"),
        )
        for vote in votes
    )
    return csv_file([t(f"results.{name}") for name in names], rows)


def _row(each: Standing, locale: Locale) -> str:
    name = f"{escape(each.contender.model)}<small>{escape(_side(each.contender, locale))}</small>"
    low, high = f"{each.low * 100:.0f}", f"{each.high * 100:.0f}"
    interval = escape(locale.t("results.interval", low=low, high=high))
    bar = (
        f'<i class="px-bar"><b style="width:{each.rate * 100:.1f}%"></b>'
        f'<u style="left:{each.low * 100:.1f}%;width:{(each.high - each.low) * 100:.1f}%"></u></i>'
    )
    numbers = "".join(
        f"<td>{count}</td>" for count in (each.votes, each.wins, each.losses, each.ties, each.both_bad)
    )
    return f"<tr><th>{name}</th><td>{bar}<span>{each.rate * 100:.0f} %</span><small>{interval}</small></td>{numbers}</tr>"


def _side(contender: Contender, locale: Locale) -> str:
    key = f"ask.{contender.side}"
    return locale.t(key) if locale.has(key) else contender.side
