"""JSONL as people make it: a byte order mark, any kind of line end, empty lines; wrong lines named all at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from praxis.errors import ConfigError, Problem

_Row = TypeVar("_Row")


def rows(path: Path, parse: Callable[[int, Any], _Row]) -> list[_Row]:
    """Every line of `path` as `parse(number, value)` makes it; `parse` raises ValueError with the reason.

    Raises ConfigError that names every line that is wrong.
    """
    found: list[_Row] = []
    problems: list[Problem] = []
    for number, line in enumerate(text_lines(path), start=1):
        if not line.strip():
            continue
        try:
            found.append(parse(number, json.loads(line)))
        except ValueError as error:
            problems.append(Problem(number, "", str(error)))
    if problems:
        raise ConfigError(str(path), problems)
    return found


def text_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file. Raises ConfigError where it is none or cannot be read."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(str(path), [Problem(None, "", f"it cannot be read ({error.strerror})")]) from None
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} is not UTF-8; save the file as UTF-8"
        raise ConfigError(str(path), [Problem(None, "", reason)]) from None
    # Not `splitlines`, which would also break a line at a U+2028 inside a string.
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
