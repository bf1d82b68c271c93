"""Who may ask and how much they asked: keys with their usage over a period, made and revoked."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from html import escape

import streamlit as st

from praxis.i18n import Locale
from ui.client import Gateway, GatewayError
from ui.keys import NAME, Key, Keys, Used, Wanted
from ui.markup import plain
from ui.session import Session
from ui.views.confirmation import confirm
from ui.views.pieces import facts, row, table
from ui.wording import moment, sentence

COLUMNS = ("name", "role", "models", "limits", "expires", "requests", "errors", "tokens")
WIDTHS = (1.7, 0.8, 1.5, 1.75, 1.35, 1, 0.8, 1, 2)
SHOWN = 50  # keys; the others are found by searching
DAY = 86_400
EXPIRIES = {"never": None, "month": 30, "quarter": 90, "year": 365}
"""Days after which a new key ends."""
OVERLAPS = {"none": 0, "hour": 3600, "day": DAY, "week": 7 * DAY}
"""Seconds for which the old secret of a key that gets another one still works."""

Made = tuple[str, Callable[[], str]]
"""A key's name, and what makes its secret."""


def month_before(now: datetime) -> datetime:
    """The first day of the month before."""
    return (now.replace(day=1) - timedelta(days=1)).replace(day=1)


PERIODS: dict[str, Callable[[datetime], tuple[str, str]]] = {
    "day": lambda _: ("24h", ""),
    "week": lambda _: ("7d", ""),
    "month": lambda _: ("30d", ""),
    "this_month": lambda now: (f"{now:%Y-%m}-01", ""),
    "last_month": lambda now: (f"{month_before(now):%Y-%m}-01", f"{now:%Y-%m}-01"),
}
"""From when, and until when where that is not now, as the API takes it."""


def show(session: Session, gateway: Gateway) -> None:
    t, keys = session.locale.t, Keys(gateway)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        period: str = st.selectbox(
            t("keys.period"),
            list(PERIODS),
            index=2,
            format_func=lambda period: t(f"keys.period.{period}"),
            key=f"period-{session.locale.code}",
            width=220,
        )
        query = st.text_input(t("keys.search"), icon=":material/search:", max_chars=NAME, width=260).strip()
        ended = st.toggle(t("keys.ended"))
        if st.button(t("keys.create"), type="primary", icon=":material/key:", key="create-key"):
            ask_key(session, keys)
    used = keys.usage(*PERIODS[period](datetime.now(UTC)))
    now = time.time()
    found = [
        key
        for key in keys.all()
        if query.casefold() in f"{key.name}\n{key.tenant}".casefold()
        and (ended or key.state(now) == "active")
    ]
    if not found:
        st.info(t("keys.none_found"), icon=":material/key:")
    else:
        with st.container(key="keys", border=True, gap="small"):
            for head, column in zip(st.columns(WIDTHS), COLUMNS, strict=False):
                head.caption(t(f"keys.{column}"))
            for key in found[:SHOWN]:
                show_key(session, keys, key, [each for each in used if each.key == key.id])
    if len(found) > SHOWN:
        st.caption(t("keys.more", count=SHOWN))
    if used:
        st.subheader(t("keys.by_model"), anchor=False)
        st.html(usage_table(used, session.locale))
    st.caption(t("keys.explained"))


def show_key(session: Session, keys: Keys, key: Key, used: Sequence[Used]) -> None:
    t, now = session.locale.t, time.time()
    places = st.columns(WIDTHS, vertical_alignment="center")
    facts(places, cells(key, used, session.locale, now))
    with places[-1], st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        if key.state(now) == "active" and st.button(
            t("keys.rotate"), key=f"rotate-{key.id}", type="tertiary", icon=":material/autorenew:"
        ):
            ask_rotation(session, keys, key)
        if key.revoked_at is None and st.button(
            t("keys.revoke"), key=f"revoke-{key.id}", type="tertiary", icon=":material/block:"
        ):
            question = t("keys.revoke_confirm", name=plain(key.name))
            confirm(session, question, partial(keys.revoke, key.id), "keys.revoke")


def cells(key: Key, used: Sequence[Used], locale: Locale, now: float) -> list[tuple[str, str]]:
    """Of each column what it says and the small print below, as HTML."""
    t, state = locale.t, key.state(now)
    name = f"<b>{escape(key.name)}</b>"
    if state != "active":
        name += f' <span class="px-bad">{escape(t(f"keys.state.{state}"))}</span>'
    tenant = "" if key.tenant == key.name else escape(t("keys.tenant", tenant=key.tenant))
    models = t("keys.all_models") if key.models is None else ", ".join(key.models) or t("keys.no_model")
    knowledge = "" if key.knowledge is None else escape(t("keys.knowledge", names=", ".join(key.knowledge)))
    limits = [
        t(f"keys.limit.{limit}", count=value)
        for limit, value in (("rpm", key.rpm), ("tpm", key.tpm), ("concurrency", key.concurrency))
        if value is not None
    ]
    expires = t("keys.never") if key.expires_at is None else moment(int(key.expires_at))
    revoked = "" if key.revoked_at is None else t("keys.revoked_at", moment=moment(int(key.revoked_at)))
    return [
        (name, tenant),
        (escape(t(f"keys.role.{key.role}")), ""),
        (escape(models), knowledge),
        ("<br>".join(map(escape, limits)) or "–", ""),
        (escape(expires), escape(revoked)),
        (f"{sum(each.requests for each in used):,}", ""),
        (f"{sum(each.errors for each in used):,}", ""),
        _tokens(used, locale),
    ]


def usage_table(used: Sequence[Used], locale: Locale) -> str:
    """What every key asked of every model, as HTML; the most tokens first."""
    t = locale.t
    heads = [t(f"keys.{name}") for name in ("name", "model", "requests", "errors", "tokens")]
    body = ""
    for each in used:
        tokens, note = _tokens([each], locale)
        told = (escape(each.key_name), escape(each.model), f"{each.requests:,}", f"{each.errors:,}")
        body += row((*told, f"{tokens}<small>{note}</small>"))
    return table("usage", heads, body)


def ask_key(session: Session, keys: Keys) -> None:
    """Ask what a new key may do, and make it."""

    def fields() -> Made | None:
        wanted = key_form(session)
        return None if wanted is None else (wanted.name, partial(keys.create, wanted))

    show_once(session, "keys.create", "keys.made", fields)


def ask_rotation(session: Session, keys: Keys, key: Key) -> None:
    """Ask how long a key's old secret still works, and give it another one."""
    t = session.locale.t

    def fields() -> Made | None:
        st.write(t("keys.rotate_explained", name=plain(key.name)))
        overlap = st.radio(
            t("keys.overlap"), list(OVERLAPS), index=1, format_func=lambda each: t(f"keys.overlap.{each}")
        )
        if not st.button(t("keys.rotate"), type="primary", key="confirm-rotation"):
            return None
        return key.name, partial(keys.rotate, key.id, OVERLAPS[overlap])

    show_once(session, "keys.rotate", "keys.rotated", fields)


def show_once(session: Session, verb: str, told: str, fields: Callable[[], Made | None]) -> None:
    """Ask with `fields` what to do, do it, and show the secret that it makes, this once; `told` is a text's key."""
    t = session.locale.t

    def body() -> None:
        place = st.empty()
        with place.container():
            made = fields()
        if made is None:
            return
        name, make = made
        try:
            secret = make()
        except GatewayError as error:
            if error.status == 401:
                st.rerun()
            st.error(sentence(error, session.locale))
            return
        with place.container():
            st.write(t(told, name=plain(name)))
            st.code(secret, language=None)
            st.warning(t("keys.once"), icon=":material/warning:")

    st.dialog(t(verb), on_dismiss="rerun")(body)()


def key_form(session: Session) -> Wanted | None:
    """What a new key may do, once it is filled in."""
    t = session.locale.t
    with st.form("new-key", border=False):
        name = st.text_input(t("keys.name"), placeholder=t("keys.name_hint"), max_chars=NAME).strip()
        role = st.radio(
            t("keys.role"),
            ["user", "admin"],
            format_func=lambda role: t(f"keys.role.{role}"),
            horizontal=True,
        )
        models = st.multiselect(
            t("keys.models"), [model.id for model in session.models], placeholder=t("keys.all_models")
        )
        expiry = st.selectbox(
            t("keys.expires"), list(EXPIRIES), format_func=lambda expiry: t(f"keys.expiry.{expiry}")
        )
        left, right = st.columns(2)
        rpm = left.number_input(
            t("keys.rpm"), min_value=1, value=None, step=1, placeholder=t("keys.no_limit")
        )
        tpm = right.number_input(
            t("keys.tpm"), min_value=1, value=None, step=1, placeholder=t("keys.no_limit")
        )
        if not st.form_submit_button(t("keys.create"), type="primary", key="make-key"):
            return None
    if not name:
        st.error(t("keys.name_empty"))
        return None
    days = EXPIRIES[expiry]
    ends = None if days is None else time.time() + days * DAY
    return Wanted(name, role == "admin", models or None, ends, rpm, tpm)


def _tokens(used: Sequence[Used], locale: Locale) -> tuple[str, str]:
    written = sum(each.completion_tokens for each in used)
    total = sum(each.tokens for each in used)
    return f"{total:,}", escape(locale.t("adapters.written", count=f"{written:,}")) if total else ""
