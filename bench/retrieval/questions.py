"""Questions whose answers are known to stand in certain articles: JSONL of `id`, `query` and `gold`."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.jsonl import rows
from praxis.errors import ConfigError, Problem

_NUMBERS = re.compile(r"\d+")
_DIGITS = "零一二三四五六七八九"
_LISTED = 20


@dataclass(frozen=True, slots=True)
class Article:
    """An article of a law, under the names that compare equal.

    A code is one law whatever its books are called (民法典·总则), and 第44条 is 第四十四条.
    """

    law: str
    number: str

    @classmethod
    def named(cls, law: object, article: object) -> Article | None:
        """The article that two texts name, or None where one of them is none."""
        if not isinstance(law, str) or not isinstance(article, str) or not law.strip() or not article.strip():
            return None
        number = _NUMBERS.sub(lambda match: _chinese(int(match[0])), article)
        return cls(law.strip().strip("《》").split("·")[0], re.sub(r"[\s第条]", "", number))

    def __str__(self) -> str:
        head, _, branch = self.number.partition("之")
        return f"{self.law} 第{head}条" + (f"之{branch}" if branch else "")


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the articles that answer it, each once."""

    id: str
    query: str
    gold: tuple[Article, ...]


def read(path: Path) -> list[Question]:
    """The questions of a file, in its order. Raises ConfigError that names every line that is none, and ids that recur."""
    found = rows(path, _question)
    if not found:
        raise ConfigError(str(path), [Problem(None, "", "it has no lines; there is nothing to ask")])
    again = [name for name, count in Counter(each.id for each in found).items() if count > 1]
    if again:
        listed = ", ".join(f"`{each}`" for each in again[:_LISTED])
        raise ConfigError(str(path), [Problem(None, "", f"these ids stand there more than once: {listed}")])
    return found


def drawn(questions: Sequence[Question], sample: int | None, seed: int) -> list[Question]:
    """`sample` of the questions, drawn by `seed` and kept in their order; all of them where it is None."""
    if sample is None or sample >= len(questions):
        return list(questions)
    chosen = sorted(random.Random(seed).sample(range(len(questions)), sample))
    return [questions[each] for each in chosen]


def _question(number: int, value: Any) -> Question:
    if not isinstance(value, dict):
        raise ValueError("it must be an object with `query` and `gold`")
    query, gold = value.get("query"), value.get("gold")
    if not isinstance(query, str) or not query.strip():
        raise ValueError("it needs a text in `query`")
    if not isinstance(gold, list) or not gold:
        raise ValueError("it needs a list of articles in `gold`")
    articles = [
        Article.named(each.get("law"), each.get("article")) if isinstance(each, dict) else None
        for each in gold
    ]
    known = [each for each in articles if each is not None]
    if len(known) < len(articles):
        raise ValueError("each of its `gold` needs a `law` and an `article`")
    return Question(str(value.get("id", number)), query, tuple(dict.fromkeys(known)))


def _chinese(number: int) -> str:
    """A number below 10,000 as statutes write it: 1079 is 一千零七十九, 14 is 十四."""
    if number >= 10_000:
        return str(number)
    text, zero = "", False
    for unit, mark in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = number // unit % 10
        if digit:
            text += ("零" if zero and text else "") + _DIGITS[digit] + mark
        zero = not digit
    return text.removeprefix("一") if text.startswith("一十") else text or _DIGITS[0]
