"""A model as the judge of two targets: pairs of answers by a rubric, in both orders.

Each pair is judged twice, with the answers in either place; where the verdicts disagree it is a tie, so that a judge
who prefers the first place decides nothing. A reply that holds no verdict, or no reply, is a typed failure, and the
pair counts in no share. The rule is MT-bench's; how often verdicts flipped and how far lengths differ is told beside.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.endpoint import Failure, Gateway
from bench.eval.predictions import Prediction
from bench.eval.rubric import Rubric
from bench.eval.thinking import without_thinking
from bench.eval.verdicts import Verdict
from bench.journal import Journal
from bench.workers import work_off
from praxis.errors import ConfigError, Problem

Report = Callable[[str, int, int, int], None]
"""Told after every pair: who judges, pairs finished, pairs in all, pairs that failed."""

_VERDICT = re.compile(r"\[\[\s*([ABC])\s*\]\]")

_PAIR = """\
<问题>
{prompt}
</问题>
{reference}
<答复A>
{first}
</答复A>

<答复B>
{second}
</答复B>"""

_REFERENCE = """
<参考答案>
{label}
</参考答案>
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """One row that two targets answered."""

    id: int
    prompt: str
    label: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Judge:
    """Who judges and how. `with_reference` shows the judge the label."""

    model: str
    rubric: Rubric
    max_tokens: int = 1024
    with_reference: bool = True

    async def verdict(self, gateway: Gateway, pair: Pair, *, swapped: bool) -> tuple[str, str]:
        """`A` where the first target is better, `B` the second, `C` a tie; and what the judge said. Raises Failure."""
        body = self._request(pair, swapped=swapped)
        said = _text(await gateway.request("POST", "/v1/chat/completions", body))
        found = _VERDICT.findall(without_thinking(said))
        if not found:
            raise Failure("no_verdict", f"The judge gave no verdict: {said[-200:]!r}")
        letter = found[-1]
        return {"A": "B", "B": "A"}.get(letter, "C") if swapped else letter, said

    def digest(self, pair: Pair) -> str:
        """The SHA-256 of what this judge is asked about the pair: judge, rubric, answers."""
        request = json.dumps(self._request(pair, swapped=False), ensure_ascii=False)
        return hashlib.sha256(request.encode("utf-8", "replace")).hexdigest()

    def _request(self, pair: Pair, *, swapped: bool) -> dict[str, Any]:
        first, second = (pair.second, pair.first) if swapped else (pair.first, pair.second)
        reference = _REFERENCE.format(label=pair.label) if self.with_reference and pair.label.strip() else ""
        asked = _PAIR.format(prompt=pair.prompt, reference=reference, first=first, second=second)
        return {
            "model": self.model,
            "messages": [
                {"role": "system", "content": self.rubric.instructions()},
                {"role": "user", "content": asked},
            ],
            "temperature": 0,
            "max_tokens": self.max_tokens,
        }


def pairs(first: Sequence[Prediction], second: Sequence[Prediction], *, remove_thinking: bool) -> list[Pair]:
    """The rows that both answered. Raises ConfigError where there are none, ids recur, or the data sets differ."""
    clean = without_thinking if remove_thinking else str
    for rows in (first, second):
        if len({each.id for each in rows}) < len(rows):
            raise _unusable("a file has two rows of the same id: rows cannot be paired")
    others = {each.id: each for each in second if each.error is None}
    found = []
    for each in first:
        other = others.get(each.id)
        if each.error is not None or other is None:
            continue
        if each.label != other.label:
            raise _unusable(f"row {each.id} has two labels: these are not answers to one data set")
        found.append(Pair(each.id, each.prompt, each.label, clean(each.predict), clean(other.predict)))
    if not found:
        raise _unusable("no row was answered by both targets; there is nothing to judge")
    return found


def drawn(found: Sequence[Pair], count: int | None, seed: int) -> list[Pair]:
    """So many of the pairs, drawn by `seed`, in their order; all where `count` is None."""
    if count is None or count >= len(found):
        return list(found)
    chosen = set(random.Random(seed).sample(range(len(found)), count))
    return [pair for number, pair in enumerate(found) if number in chosen]


async def judge_all(
    gateway: Gateway,
    judge: Judge,
    pairs: Sequence[Pair],
    concurrency: int,
    journal: Journal[Verdict],
    report: Report,
) -> Failure | None:
    """Judge in both orders what is not judged yet, each pair on disk as soon as it is known.

    Returns the failure that ended it early, where nobody listened for longer than the gateway's patience. Raises
    OSError when the disk takes no more.
    """
    judged = journal.done
    todo = [pair for pair in pairs if pair.id not in judged]
    done, failed = len(pairs) - len(todo), 0
    lost: Failure | None = None
    report(f"judge {judge.model}", done, len(pairs), failed)

    async def work(pair: Pair) -> bool:
        nonlocal done, failed, lost
        verdict = await _judge(gateway, judge, pair)
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


async def _judge(gateway: Gateway, judge: Judge, pair: Pair) -> Verdict:
    verdicts: list[str] = []
    said: list[str] = []
    verdict = Verdict(pair.id, None, verdicts, said, [len(pair.first), len(pair.second)], judge.digest(pair))
    try:
        for swapped in (False, True):
            letter, text = await judge.verdict(gateway, pair, swapped=swapped)
            verdicts.append(letter)
            said.append(text)
    except Failure as failure:
        return replace(verdict, error={"type": failure.kind, "message": failure.message})
    winner = {"A": "first", "B": "second"}.get(verdicts[0], "tie")
    return replace(verdict, winner="tie" if verdict.flipped else winner)


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
