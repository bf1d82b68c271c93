"""Both languages say the same things, and every text that the pages ask for exists."""

import ast
import json
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from praxis.i18n import DEFAULT, LOCALES, Locale, codes

UI = Path(__file__).resolve().parents[2] / "ui"
TEXTS = {code: json.loads((LOCALES / f"{code}.json").read_text()) for code in ("zh-CN", "en")}


def used_keys() -> Iterator[tuple[str, bool]]:
    """Each key-like string of the room, and whether it is whole (an f-string gives only its beginning)."""
    groups = {key.partition(".")[0] for key in TEXTS[DEFAULT]}
    for path in UI.rglob("*.py"):
        tree = ast.parse(path.read_text())
        parts = {
            id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
                text, whole = str(node.values[0].value), False
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
                text, whole = node.value, True
            else:
                continue
            if (
                text.partition(".")[0] in groups
                and "." in text
                and not text.startswith(("server.", " "))
                and " " not in text
            ):
                yield text, whole


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def test_the_languages_have_the_same_keys_and_values_to_fill_in() -> None:
    assert codes() == ["zh-CN", "en"]
    assert TEXTS["zh-CN"].keys() == TEXTS["en"].keys()
    for key, template in TEXTS["zh-CN"].items():
        assert placeholders(template) == placeholders(TEXTS["en"][key]), key


def test_every_key_that_is_used_exists() -> None:
    for key, whole in used_keys():
        if whole:
            assert key in TEXTS[DEFAULT], key
        else:
            assert any(known.startswith(key) for known in TEXTS[DEFAULT]), key


def test_every_key_is_used() -> None:
    whole = {key for key, is_whole in used_keys() if is_whole}
    beginnings = tuple(key for key, is_whole in used_keys() if not is_whole)
    assert [key for key in TEXTS[DEFAULT] if key not in whole and not key.startswith(beginnings)] == []


def test_no_text_is_empty_or_left_in_the_other_language() -> None:
    for key, text in TEXTS["zh-CN"].items():
        assert text, key
        assert TEXTS["en"][key], key
    chinese = [key for key, text in TEXTS["en"].items() if any("一" <= letter <= "鿿" for letter in text)]
    assert chinese == ["language.other"]


def test_a_locale_fills_in_values_and_names_what_it_lacks() -> None:
    assert Locale().t("sources.page", page=3) == "第 3 页"
    assert Locale("en").t("sources.page", page=3) == "page 3"
    with pytest.raises(KeyError, match=r"no\.such\.key"):
        Locale().t("no.such.key")
    with pytest.raises(FileNotFoundError):
        Locale("xx")


def test_a_number_chooses_its_word() -> None:
    assert [Locale("en").t("stats.tokens", count=count) for count in (0, 1, 2)] == [
        "0 tokens",
        "1 token",
        "2 tokens",
    ]
    assert Locale("en").t("batch.start", count=1, columns=2) == "Ask 1 question in 2 columns"
    assert Locale("en").t("keys.limit.tpm", count=12000) == "12,000 tokens/min"
