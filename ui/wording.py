"""Errors, sizes and dates as the pages say them."""

from __future__ import annotations

import re
from datetime import datetime

from praxis.i18n import Locale
from ui.client import GatewayError


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
