"""Fine-tunes: which revision answers, where it is, what it did, and the buttons that change it."""

from __future__ import annotations

from functools import partial
from html import escape
from urllib.parse import urlsplit

import streamlit as st

from praxis.i18n import Locale
from ui.adapters import Adapter, Adapters, Change, Revision
from ui.client import Gateway
from ui.markup import plain
from ui.session import Session
from ui.views.confirmation import Act, decide, offer, reason
from ui.views.pieces import facts, row, table
from ui.wording import moment, percent

COLUMNS = ("revision", "share", "resident", "requests", "errors", "tokens", "time", "score")
WIDTHS = (1.5, 0.75, 1.5, 1, 0.75, 1.15, 1.3, 1.25, 2.9)
FIRST_SHARE = 10  # percent that a canary begins with
HEADLINE = "rouge-l"
"""The metric that stands for a score where only one has room."""


def show(session: Session, gateway: Gateway) -> None:
    t, adapters = session.locale.t, Adapters(gateway)
    found = adapters.all()
    if not found:
        st.info(t("adapters.empty"), icon=":material/tune:")
        return
    for adapter in found:
        show_adapter(session, adapters, adapter)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(t("adapters.refresh"), type="tertiary", icon=":material/refresh:")
        st.caption(t("adapters.explained"))


def show_adapter(session: Session, adapters: Adapters, adapter: Adapter) -> None:
    t, name = session.locale.t, adapter.name
    with st.container(key=f"adapter-{name}", border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            base = escape(t("adapters.base", base=adapter.base))
            st.html(
                f'<b class="px-title">{escape(name)}</b> <span class="px-soft">{base}</span>', width="stretch"
            )
            if st.button(
                t("adapters.history"), key=f"history-{name}", type="tertiary", icon=":material/history:"
            ):
                show_history(session, adapters, name)
            back = "adapters.end_canary_confirm" if adapter.canary else "adapters.rollback_confirm"
            offer(
                session,
                "adapters.rollback",
                f"rollback-{name}",
                ":material/undo:",
                t(back, name=plain(name), revision=adapter.revision or ""),
                partial(adapters.roll_back, name),
                disabled=adapter.revision is None,
            )
            offer(
                session,
                "adapters.unload_all",
                f"unload-{name}",
                ":material/eject:",
                t("adapters.unload_all_confirm", name=plain(name), count=len(adapter.revisions)),
                partial(adapters.unload, name),
            )
        heads = st.columns(WIDTHS)
        for head, column in zip(heads, COLUMNS, strict=False):
            head.caption(t(f"adapters.{column}"))
        for revision in adapter.revisions:
            show_revision(session, adapters, adapter, revision)


def show_revision(session: Session, adapters: Adapters, adapter: Adapter, revision: Revision) -> None:
    places = st.columns(WIDTHS, vertical_alignment="center")
    facts(places, cells(revision, session.locale))
    if revision.state == "current":
        return
    t, name, code = session.locale.t, adapter.name, revision.revision
    with places[-1], st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        offer(
            session,
            "adapters.promote",
            f"promote-{name}-{code}",
            ":material/publish:",
            t("adapters.promote_confirm", name=plain(name), revision=code),
            partial(adapters.promote, name, code),
        )
        if st.button(
            t("adapters.canary"),
            key=f"canary-{name}-{code}",
            type="tertiary",
            icon=":material/call_split:",
            disabled=adapter.revision is None,
        ):
            ask_share(session, adapters, adapter, revision)
        offer(
            session,
            "adapters.unload",
            f"unload-{name}-{code}",
            ":material/eject:",
            t("adapters.unload_confirm", name=plain(name), revision=code),
            partial(adapters.unload, name, revision=code),
        )


def ask_share(session: Session, adapters: Adapters, adapter: Adapter, revision: Revision) -> None:
    """Ask for the share of the requests that goes to a revision, and by what it is split."""
    t, name, code = session.locale.t, adapter.name, revision.revision

    def fields() -> Act:
        now = round(revision.share * 100) if revision.state == "canary" else FIRST_SHARE
        share = st.slider(t("adapters.canary_share"), 1, 100, max(1, now), format="%d%%")
        by = st.radio(
            t("adapters.split"),
            ["request", "key"],
            index=["request", "key"].index(adapter.by),
            format_func=lambda by: t(f"adapters.by.{by}"),
            horizontal=True,
        )
        return partial(adapters.canary, name, code, share / 100, by, reason(session))

    question = t("adapters.canary_confirm", name=plain(name), revision=code)
    decide(session, question, fields, "adapters.canary")


def show_history(session: Session, adapters: Adapters, name: str) -> None:
    """Every change of the name."""
    changes, t = adapters.history(name), session.locale.t
    body = partial(st.html, history_table(changes, session.locale))
    st.dialog(f"{plain(name)} · {t('adapters.history')}", width="large")(body)()


def history_table(changes: list[Change], locale: Locale) -> str:
    """The changes as HTML."""
    t = locale.t
    heads = [t(f"adapters.{name}") for name in ("when", "what", "answers", "who", "why")]
    return table("changes", heads, "".join(_change(each, locale) for each in changes))


def cells(revision: Revision, locale: Locale) -> list[tuple[str, str]]:
    """Of each column what it says and the small print below, as HTML."""
    t = locale.t
    here, everywhere = sum(revision.resident.values()), len(revision.resident)
    colour = "px-good" if here == everywhere else "px-idle"
    missing = ", ".join(urlsplit(url).netloc for url, loaded in revision.resident.items() if not loaded)
    state = escape(t(f"adapters.state.{revision.state}"))
    return [
        (f"<code>{escape(revision.revision)}</code>", f'<span class="px-{revision.state}">{state}</span>'),
        (percent(revision.share), ""),
        (
            f'<span class="{colour}">{here} / {everywhere}</span>',
            escape(t("adapters.missing", places=missing)) if missing else "",
        ),
        (
            f"{revision.requests:,}",
            escape(t("adapters.in_flight", count=revision.in_flight)) if revision.in_flight else "",
        ),
        ("–" if revision.error_rate is None else percent(revision.error_rate), ""),
        (
            f"{revision.prompt_tokens + revision.completion_tokens:,}",
            escape(t("adapters.written", count=f"{revision.completion_tokens:,}")),
        ),
        (_seconds(revision.seconds, locale), _first(revision, locale)),
        _score(revision),
    ]


def _seconds(seconds: float | None, locale: Locale) -> str:
    return "–" if seconds is None else escape(locale.t("adapters.seconds", seconds=f"{seconds:.2f}"))


def _first(revision: Revision, locale: Locale) -> str:
    if revision.first_seconds is None:
        return ""
    return escape(locale.t("adapters.first", seconds=f"{revision.first_seconds:.2f}"))


def _score(revision: Revision) -> tuple[str, str]:
    if not revision.scores:
        return "–", ""
    last = revision.scores[0]
    metric = HEADLINE if HEADLINE in last.metrics else next(iter(last.metrics))
    return f"{last.metrics[metric].mean:.2f}", f"{escape(metric)} · {escape(last.dataset)}"


def _change(change: Change, locale: Locale) -> str:
    ended = change.action == "canary" and not change.share
    what = escape(locale.t(f"adapters.action.{'end_canary' if ended else change.action}"))
    share = f" {percent(change.share)}" if change.share else ""
    answers = "–"
    if change.before != change.after:
        answers = f"{_code(change.before)} → {_code(change.after)}"
    texts = (
        escape(moment(int(change.at))),
        f"{what} {_code(change.revision)}{share}",
        answers,
        f"{escape(change.who)}<small>{escape(change.origin)}</small>",
        escape(change.why) or "–",
    )
    return row(texts)


def _code(revision: str | None) -> str:
    return f"<code>{escape(revision)}</code>" if revision else "–"
