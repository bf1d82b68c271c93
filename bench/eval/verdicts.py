"""Verdicts on disk, one pair a line, and what they say together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.jsonl import rows
from praxis.judging.pair import FIRST, TIE, WINNERS, Finding
from praxis.judging.rubric import Rubric
from praxis.judging.tally import Tally


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one pair.

    `winner` is one of `WINNERS`, None where an `error` (`{"type", "message"}`) kept it from being judged; `verdicts` are
    `A`, `B` or `C` from the first target's side, one for each order, and `said` what the judge wrote. `lengths` are those
    of the two answers in characters. `asked` is the digest of what the judge was asked, by which it is known again.
    `criteria` are the judgements by criterion, without those on which the judge said nothing, either time.
    """

    id: int
    winner: str | None
    verdicts: Sequence[str]
    said: Sequence[str]
    lengths: Sequence[int]
    asked: str
    error: dict[str, str] | None = None
    criteria: Mapping[str, Finding] = field(default_factory=dict)

    def line(self) -> bytes:
        return json.dumps(asdict(self), ensure_ascii=False).encode() + b"\n"

    @property
    def whole(self) -> Finding:
        """The judgement on the answers as a whole, where there is no error."""
        assert self.winner is not None
        return Finding(self.winner, (self.verdicts[0], self.verdicts[1]), "")


def read(path: Path) -> list[Verdict]:
    """The verdicts of a file, in its order. Raises ConfigError that names every line that is none."""
    return rows(path, _verdict)


def _verdict(number: int, value: Any) -> Verdict:
    try:
        verdict = Verdict(**value)
        verdict = replace(verdict, criteria={name: _finding(each) for name, each in verdict.criteria.items()})
    except (TypeError, AttributeError, KeyError):
        raise ValueError("it is no verdict of `praxis eval judge`") from None
    if verdict.error is None and (verdict.winner not in WINNERS or len(verdict.verdicts) != 2):
        raise ValueError("it has neither a winner nor an error")
    return verdict


def _finding(value: Any) -> Finding:
    return Finding(value["winner"], tuple(value["verdicts"]), value["reason"])


def summary(verdicts: Sequence[Verdict], names: tuple[str, str], rubric: Rubric) -> dict[str, Any]:
    """Who wins how often, from the first target's side, with what makes one doubt the judge.

    `win_rate` counts a tie as half; its interval (Wilson) is over pairs. Pairs without two verdicts are in `errors` only.
    `flipped` is the share of pairs whose two orders named different winners; `longer_wins` that of the decided ones
    which the longer answer won. `criteria` says the same of each criterion, over the pairs in which it has two verdicts.
    """
    whole = [each for each in verdicts if each.error is None]
    longer = [
        (each.lengths[0] > each.lengths[1]) == (each.winner == FIRST)
        for each in whole
        if each.winner != TIE and each.lengths[0] != each.lengths[1]
    ]
    by_name = {
        criterion.name: Tally.of(
            each.criteria[criterion.name] for each in whole if criterion.name in each.criteria
        )
        for criterion in rubric.criteria
    }
    return {
        "first": names[0],
        "second": names[1],
        "pairs": len(verdicts),
        **_figures(Tally.of(each.whole for each in whole)),
        "longer_wins": sum(longer) / len(longer) if longer else None,
        "errors": dict(sorted(Counter(each.error["type"] for each in verdicts if each.error).items())),
        "criteria": {name: _figures(tally) for name, tally in by_name.items()},
    }


def _figures(tally: Tally) -> dict[str, Any]:
    rate = tally.rate
    return {
        "judged": tally.judged,
        "wins": tally.wins,
        "ties": tally.ties,
        "losses": tally.losses,
        "win_rate": dict(zip(("mean", "low", "high"), rate, strict=True)) if rate else None,
        "flipped": tally.flipped / tally.judged if tally.judged else None,
    }
