"""Lengths and points of time as operators write them on a command line or in a query."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import overload

from praxis.errors import InvalidRequest

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)")
_UNIX = re.compile(r"\d{9,}(?:\.\d+)?")


def seconds(text: str, param: str, unit: str = "s") -> float:
    """`90s`, `15m`, `1h`, `30d` or `2w` in seconds; a bare number counts `unit`. Raises InvalidRequest."""
    found = _LENGTH.fullmatch(text.strip())
    if found is None:
        raise InvalidRequest(
            f"`{param}` is `{text}`; write a length of time such as 90s, 15m, 1h, 30d or 2w.", param=param
        )
    return float(found[1]) * _SECONDS[found[2] or unit]


@overload
def moment(text: str, param: str, now: float) -> float: ...
@overload
def moment(text: None, param: str, now: float) -> None: ...
def moment(text: str | None, param: str, now: float) -> float | None:
    """A point of time in Unix seconds: `7d` ago, the day `2026-03-31`, `2026-03-31T08:00` (UTC where it names no
    zone), or Unix seconds themselves; None of nothing. Raises InvalidRequest."""
    if text is None:
        return None
    text = text.strip()
    if _UNIX.fullmatch(text):
        return float(text)
    if _LENGTH.fullmatch(text):
        return now - seconds(text, param, "d")
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(
            f"`{param}` is `{text}`; write a day such as 2026-03-31, a length of time ago such as 7d, or Unix seconds.",
            param=param,
        ) from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def expiry(text: str, param: str, now: float) -> float:
    """When something ends, in Unix seconds: in `30d` (a bare number counts days), or on a day as `moment` reads it."""
    if _LENGTH.fullmatch(text.strip()) and not _UNIX.fullmatch(text.strip()):
        return now + seconds(text, param, "d")
    return moment(text, param, now)


def readable(when: float | None) -> str | None:
    """A point of time for people, in UTC to the minute."""
    return None if when is None else datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M")
