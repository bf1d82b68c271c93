"""Errors, figures, sizes and dates as the pages say them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from praxis.i18n import Locale
from ui.client import GatewayError
from ui.conversation import Choice, Side, Turn
from ui.library import Progress
from ui.pictures import Picture
from ui.reply import Phase, Reply
from ui.settings import Settings


def sentence(error: GatewayError, locale: Locale) -> str:
    """What went wrong and what to do, and then the server's own words, if it had any."""
    key = f"error.{error.kind}"
    lead = locale.t(key if locale.has(key) else "error.other")
    return f"{lead} {quoted(error.detail)}".strip()


def quoted(text: str) -> str:
    """The server's words with its backticks as quotation marks."""
    return re.sub(r"`([^`]*)`", r'"\1"', text)


def size(count: int) -> str:
    """A file size."""
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.0f} KB" if count < 1024**2 else f"{count / 1024**2:.1f} MB"


def moment(seconds: int) -> str:
    """Unix time as local date and time."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def duration(seconds: float, locale: Locale) -> str:
    """A time to wait, about."""
    if seconds < 90:
        return locale.t("time.seconds", count=max(1, round(seconds)))
    return locale.t("time.minutes", count=round(seconds / 60))


def percent(share: float) -> str:
    """A share of 1, with decimals only where they matter."""
    return f"{share * 100:.3g} %"


def figures(reply: Reply, locale: Locale) -> str:
    """How long an answer took and how many tokens it has, as far as that is known."""
    t = locale.t
    if reply.phase is Phase.FAILED and not reply.text:
        return t("phase.failed")
    told = []
    if reply.to_first is not None:
        told.append(t("stats.first", seconds=f"{reply.to_first:.1f}"))
    told.append(t("stats.total", seconds=f"{reply.elapsed:.1f}"))
    if reply.usage:
        told.append(t("stats.tokens", count=reply.usage.completion))
    if reply.rate is not None:
        told.append(t("stats.rate", rate=f"{reply.rate:.1f}"))
    return " · ".join(told)


def verdict(given: str, letters: tuple[str, str], locale: Locale) -> str:
    """Which of two answers, named by their letters, was the better one."""
    if given in ("a", "b"):
        return locale.t("judge.better", letter=letters["ab".index(given)])
    return locale.t(f"judge.{given}")


def settings_set(settings: Settings, locale: Locale) -> list[str]:
    """Each setting that was made, with its value."""
    t = locale.t
    told = [
        f"{t(f'settings.{name}')} {value}"
        for name, value in settings.kept().items()
        if name not in ("thinking", "system")
    ]
    if settings.thinking is not None:
        told.append(f"{t('settings.thinking')} {t(f'settings.thinking_{1 if settings.thinking else 2}')}")
    if settings.system:
        told.append(f"{t('settings.system')}: {settings.system}")
    return told


def how_far(progress: Progress, locale: Locale) -> str:
    """The step that a file is at, how many of its pages or passages are done, and the share of the whole way."""
    key = f"progress.{progress.step}"
    step = locale.t(key) if locale.has(key) else progress.step
    count = f" {progress.done}/{progress.total}" if progress.total else ""
    return f"{step}{count} · {progress.share:.0%}"


def answerer(choice: Choice, locale: Locale) -> str:
    """Who answers in a column."""
    return f"{locale.t('ask.my_documents')} · {choice.model}" if choice.own_documents else choice.model


def unseen(turn: Turn, side: Side, locale: Locale) -> str:
    """What the side was not shown of the question's pictures; nothing where it was shown all."""
    count, seen = len(turn.pictures), turn.seen(side)
    if seen == count:
        return ""
    return locale.t("picture.partly", seen=seen, count=count) if seen else locale.t("picture.unseen")


def attached(pictures: Iterable[Picture], locale: Locale) -> str:
    """The pictures of a question by name and size; nothing where there are none."""
    told = ", ".join(f"{picture.name} ({size(len(picture.content))})" for picture in pictures)
    return locale.t("picture.attached", pictures=told) if told else ""
