"""A model as the judge of two targets: pairs of answers by a rubric, in both orders (`praxis.judging`).

A reply that holds no verdict, or no reply, is a typed failure, and the pair counts in no share.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.endpoint import Failure, Gateway
from bench.eval.predictions import Prediction
from bench.eval.verdicts import Verdict
from bench.journal import Journal
from bench.workers import work_off
from praxis.errors import ConfigError, Problem
from praxis.judging.pair import Judge, Pair, decided
from praxis.judging.rubric import OVERALL
from praxis.judging.thinking import without_thinking

Report = Callable[[str, int, int, int], None]
"""Told after every pair: who judges, pairs finished, pairs in all, pairs that failed."""

Pairs = Mapping[int, Pair]
"""Rows that two targets answered, by their id."""


def pairs(
    first: Sequence[Prediction],
    second: Sequence[Prediction],
    *,
    remove_thinking: bool,
    with_reference: bool,
) -> Pairs:
    """The rows that both answered; `with_reference` shows the judge the label.

    Raises ConfigError where there are none, ids recur, or the data sets differ.
    """
    clean = without_thinking if remove_thinking else str
    for rows in (first, second):
        if len({each.id for each in rows}) < len(rows):
            raise _unusable("a file has two rows of the same id: rows cannot be paired")
    others = {each.id: each for each in second if each.error is None}
    found = {}
    for each in first:
        other = others.get(each.id)
        if each.error is not None or other is None:
            continue
        if each.label != other.label:
            raise _unusable(f"row {each.id} has two labels: these are not answers to one data set")
        reference = each.label if with_reference else ""
        found[each.id] = Pair(each.prompt, clean(each.predict), clean(other.predict), reference)
    if not found:
        raise _unusable("no row was answered by both targets; there is nothing to judge")
    return found


def drawn(found: Pairs, count: int | None, seed: int) -> Pairs:
    """So many of the pairs, drawn by `seed`, in their order; all where `count` is None."""
    if count is None or count >= len(found):
        return found
    chosen = set(random.Random(seed).sample(range(len(found)), count))
    return {row: pair for number, (row, pair) in enumerate(found.items()) if number in chosen}


async def judge_all(
    gateway: Gateway,
    judge: Judge,
    pairs: Pairs,
    concurrency: int,
    journal: Journal[Verdict],
    report: Report,
) -> Failure | None:
    """Judge in both orders what is not judged yet, each pair on disk as soon as it is known.

    Returns the failure that ended it early, where nobody listened for longer than the gateway's patience. Raises
    OSError when the disk takes no more.
    """
    judged = journal.done
    todo = [(row, pair) for row, pair in pairs.items() if row not in judged]
    done, failed = len(pairs) - len(todo), 0
    lost: Failure | None = None
    report(f"judge {judge.model}", done, len(pairs), failed)

    async def work(each: tuple[int, Pair]) -> bool:
        nonlocal done, failed, lost
        verdict = await _judge(gateway, judge, *each)
        journal.add(verdict)
        done += 1
        if verdict.error:
            failed += 1
            if verdict.error["type"] == "refused":
                lost = Failure(verdict.error["type"], verdict.error["message"])
        report(f"judge {judge.model}", done, len(pairs), failed)
        return lost is None

    await work_off(todo, concurrency, work)
    return lost


async def _judge(gateway: Gateway, judge: Judge, row: int, pair: Pair) -> Verdict:
    said: list[str] = []
    verdict = Verdict(row, None, [], said, [len(pair.first), len(pair.second)], judge.digest(pair))
    try:
        for swapped in (False, True):
            body = judge.request(pair, swapped=swapped)
            text = _text(await gateway.request("POST", "/v1/chat/completions", body))
            if not decided(text, judge.rubric):
                raise Failure("no_verdict", f"The judge gave no verdict: {text[-200:]!r}")
            said.append(text)
    except Failure as failure:
        return replace(verdict, error={"type": failure.kind, "message": failure.message})
    found = judge.findings(*said)
    whole = found.pop(OVERALL)
    return replace(verdict, winner=whole.winner, verdicts=list(whole.verdicts), criteria=found)


def _text(reply: dict[str, Any]) -> str:
    try:
        content = reply["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise Failure("invalid", f"The reply is no chat completion: {json.dumps(reply)[:200]}") from None
    if not isinstance(content, str) or not content.strip():
        raise Failure("empty", "The judge said nothing.")
    return content


def _unusable(message: str) -> ConfigError:
    return ConfigError("eval judge", [Problem(None, "", message)])
