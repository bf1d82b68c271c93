"""Texts of the browser pages in the user's language, read from `ui/locales/<code>.json`.

A locale file is one flat JSON object from dotted keys to `str.format` templates. Every file has the same keys. A whole
number `{count}` chooses a word by `{count:token|tokens}`: the first for 1, else the second.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

LOCALES = Path(__file__).resolve().parents[1] / "ui" / "locales"
DEFAULT = "zh-CN"


class _Count(int):
    """A number that chooses between the words for one and for many."""

    def __format__(self, spec: str) -> str:
        one, choice, many = spec.partition("|")
        if choice:
            return one if self == 1 else many
        return super().__format__(spec)


class Locale:
    """One language's texts.

    Raises FileNotFoundError where the language has no file, and KeyError for a key that the file lacks.
    """

    def __init__(self, code: str = DEFAULT, folder: Path = LOCALES) -> None:
        self.code = code
        self.texts = _texts(folder / f"{code}.json")

    def t(self, key: str, **values: object) -> str:
        """The text of `key` with `values` filled in."""
        template = self.texts[key]
        if not values:
            return template
        return template.format(
            **{name: _Count(value) if isinstance(value, int) else value for name, value in values.items()}
        )

    def has(self, key: str) -> bool:
        """Whether this language has a text for `key`; for keys that a server's reply names."""
        return key in self.texts


def codes(folder: Path = LOCALES) -> list[str]:
    """The languages that have a file, the default one first."""
    return sorted((path.stem for path in folder.glob("*.json")), key=lambda code: (code != DEFAULT, code))


@cache
def _texts(path: Path) -> Mapping[str, str]:
    texts: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return texts
