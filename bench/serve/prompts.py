"""What is asked: rows of a data set, or text of a set length; every prompt is another one, so no cache answers it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.eval.rows import Example

_WORDS = [
    "合同",
    "工资",
    "加班",
    "证据",
    "仲裁",
    "期限",
    "赔偿",
    "劳动",
    "单位",
    "社保",
    "休息",
    "解除",
    "试用",
    "约定",
    "法院",
    "责任",
    "支付",
    "标准",
    "事实",
    "诉讼",
    "患者",
    "症状",
    "检查",
    "药物",
    "剂量",
    "血压",
    "复查",
    "炎症",
    "过敏",
    "手术",
]

_FIRST_GUESS = 1.0
"""Words to a token, before an engine has been asked."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request's messages and its limit of new tokens."""

    messages: Sequence[dict[str, Any]]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Length:
    """Prompts of about this many tokens. `per_word` is how many tokens a word is, `head` what the chat template adds."""

    tokens: int
    per_word: float = _FIRST_GUESS
    head: float = 0.0

    def words(self) -> int:
        return max(1, round((self.tokens - self.head) / self.per_word))

    def learned(self, words: Sequence[int], tokens: Sequence[int]) -> Length:
        """The same length after an engine counted the tokens of two prompts of so many words."""
        span = words[1] - words[0]
        per_word = (tokens[1] - tokens[0]) / span if span else 0.0
        if per_word <= 0:
            return self
        return Length(self.tokens, per_word, max(0.0, tokens[0] - words[0] * per_word))


def of_length(count: int, words: int, max_tokens: int, seed: int) -> list[Prompt]:
    """Prompts of random words, each beginning differently."""
    chance = random.Random(seed)
    return [
        Prompt([{"role": "user", "content": " ".join(chance.choices(_WORDS, k=words))}], max_tokens)
        for _ in range(count)
    ]


def of_rows(count: int, rows: Sequence[Example], max_tokens: int, seed: int) -> list[Prompt]:
    """Rows of a data set in an order of their own, again from the first where there are too few."""
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    chosen = (rows[order[number % len(order)]] for number in range(count))
    return [Prompt(each.messages, max_tokens) for each in chosen]
