"""What runs: the gateway, its backends and their replicas, drawn anew every few seconds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime
from html import escape

import streamlit as st

from praxis.i18n import Locale
from ui.client import Gateway, GatewayError
from ui.fleet import Backend, Fleet, Replica, read_fleet
from ui.session import Session
from ui.views import pieces
from ui.wording import quoted, sentence

EVERY = 3  # seconds between two looks
GOOD = ("up", "ready")
PLAIN = ("off",)
IDLE = ("spare", "starting", "trial", "busy")
LOST = (GatewayError.UNREACHABLE, GatewayError.TIMEOUT, "authentication_error")


def show(session: Session, gateway: Gateway) -> None:
    looks = itertools.count()

    def look() -> None:
        first = not next(looks)
        try:
            fleet = read_fleet(gateway)
        except GatewayError as error:
            # The whole page says what that means, and goes on when it is over.
            if not first and error.kind in LOST:
                st.rerun()
            st.error(sentence(error, session.locale))
            return
        draw(fleet, session.locale)

    st.fragment(look, run_every=EVERY)()


def draw(fleet: Fleet, locale: Locale) -> None:
    t = locale.t
    st.html(tiles(fleet, locale))
    if found := list(problems(fleet, locale)):
        st.html(
            '<div class="px-warning"><ul>'
            + "".join(f"<li>{escape(each)}</li>" for each in found)
            + "</ul></div>"
        )
    st.html(table(fleet, locale))
    now = f"{datetime.now():%H:%M:%S}"
    st.caption(t("fleet.as_of", moment=now, seconds=EVERY))


def tiles(fleet: Fleet, locale: Locale) -> str:
    """The fleet in a few numbers, as HTML."""
    t = locale.t
    used = [each for each in fleet.replicas if not each.ejected and each.trouble != "unreachable"]
    told = [
        ("gateway", _word(f"fleet.status.{fleet.status}", fleet.status, locale), _colour(fleet.status)),
        ("replicas", f"{len(used)} / {len(fleet.replicas)}", _share(len(used), len(fleet.replicas))),
        ("in_flight", str(sum(each.in_flight for each in fleet.replicas)), ""),
        ("queued", str(sum(each.queued for each in fleet.backends)), ""),
        ("rag", _word(f"fleet.rag.{fleet.rag}", fleet.rag, locale), _colour(fleet.rag)),
    ]
    if fleet.workers:
        up = sum(fleet.workers.values())
        told.insert(1, ("workers", f"{up} / {len(fleet.workers)}", _share(up, len(fleet.workers))))
    return (
        '<div class="px-tiles">'
        + "".join(
            f'<p>{escape(t(f"fleet.{name}"))}<b class="{colour}">{escape(value)}</b></p>'
            for name, value, colour in told
        )
        + "</div>"
    )


def problems(fleet: Fleet, locale: Locale) -> Iterator[str]:
    """A sentence for everything beside the replicas that is not as it should be."""
    t = locale.t
    if fleet.refused:
        yield t("fleet.config_refused", reason=quoted(fleet.refused))
    if fleet.lacking:
        yield t("fleet.lacking", names=", ".join(fleet.lacking))
    for name, answers in fleet.workers.items():
        if not answers:
            yield t("fleet.worker_lost", name=name)
    if fleet.rag == "down":
        yield t("fleet.rag_lost")
    else:
        for name, reason in fleet.assistants.items():
            if reason is not None:
                yield t("fleet.assistant_lost", name=name, reason=quoted(reason))


def table(fleet: Fleet, locale: Locale) -> str:
    """The replicas below their backends, as HTML."""
    names = ("replica", "state", "in_flight", "engine", "serves")
    heads = [locale.t(f"fleet.{name}") for name in names]
    return pieces.table("fleet", heads, "".join(_group(each, locale) for each in fleet.backends))


def _group(backend: Backend, locale: Locale) -> str:
    t = locale.t
    queued = t("fleet.backend_queued", count=backend.queued)
    heading = f"<b>{escape(backend.name)}</b> <span>{escape(backend.kind)} · {escape(queued)}</span>"
    rows = "".join(_row(each, locale) for each in backend.replicas)
    return f'<tr class="px-group"><td colspan="5">{heading}</td></tr>{rows}'


def _row(replica: Replica, locale: Locale) -> str:
    t, state = locale.t, replica.state
    badge = f'<span class="px-badge {_colour(state)}">{escape(t(f"fleet.state.{state}"))}</span>'
    why = "" if state == "up" else f"<small>{escape(t(f'fleet.why.{state}'))}</small>"
    load = str(replica.in_flight) if replica.limit is None else f"{replica.in_flight} / {replica.limit}"
    engine = "–"
    if replica.running is not None:
        engine = t("fleet.engine_load", running=replica.running, waiting=replica.waiting or 0)
    cells = (
        f"<code>{escape(replica.url)}</code>",
        badge + why,
        load,
        escape(engine),
        escape(", ".join(replica.models)) or "–",
    )
    return pieces.row(cells)


def _word(key: str, value: str, locale: Locale) -> str:
    return locale.t(key) if locale.has(key) else value


def _colour(state: str) -> str:
    if state in PLAIN:
        return ""
    return "px-good" if state in GOOD else "px-idle" if state in IDLE else "px-bad"


def _share(part: int, whole: int) -> str:
    return "px-good" if part == whole else "px-bad"
