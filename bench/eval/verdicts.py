"""Verdicts on disk, one pair a line, and what they say together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.intervals import interval
from bench.jsonl import rows

WINNERS = ("first", "tie", "second")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one pair.

    `winner` is one of `WINNERS`, None where an `error` (`{"type", "message"}`) kept it from being judged; `verdicts` are
    `A`, `B` or `C` from the first target's side, one for each order, and `said` what the judge wrote. `lengths` are those
    of the two answers in characters. `asked` is the digest of what the judge was asked, by which it is known again.
    """

    id: int
    winner: str | None
    verdicts: Sequence[str]
    said: Sequence[str]
    lengths: Sequence[int]
    asked: str
    error: dict[str, str] | None = None

    def line(self) -> bytes:
        return json.dumps(asdict(self), ensure_ascii=False).encode() + b"\n"

    @property
    def flipped(self) -> bool:
        """Whether the place of the answers decided, and not the answers."""
        return self.verdicts[0] != self.verdicts[1]


def read(path: Path) -> list[Verdict]:
    """The verdicts of a file, in its order. Raises ConfigError that names every line that is none."""
    return rows(path, _verdict)


def _verdict(number: int, value: Any) -> Verdict:
    try:
        verdict = Verdict(**value)
    except TypeError:
        raise ValueError("it is no verdict of `praxis eval judge`") from None
    if verdict.error is None and (verdict.winner not in WINNERS or len(verdict.verdicts) != 2):
        raise ValueError("it has neither a winner nor an error")
    return verdict


def summary(verdicts: Sequence[Verdict], names: tuple[str, str], *, seed: int = 0) -> dict[str, Any]:
    """Who wins how often, from the first target's side, with what makes one doubt the judge.

    `win_rate` counts a tie as half; its interval is over pairs. Pairs without two verdicts are in `errors` only.
    `flipped` is the share of pairs whose two orders named different winners; `longer_wins` that of the decided ones
    which the longer answer won.
    """
    whole = [each for each in verdicts if each.error is None]
    winners = Counter(each.winner for each in whole)
    longer = [
        (each.lengths[0] > each.lengths[1]) == (each.winner == "first")
        for each in whole
        if each.winner != "tie" and each.lengths[0] != each.lengths[1]
    ]
    points = [{"first": 1.0, "second": 0.0}.get(str(each.winner), 0.5) for each in whole]
    return {
        "first": names[0],
        "second": names[1],
        "pairs": len(verdicts),
        "judged": len(whole),
        "wins": winners["first"],
        "ties": winners["tie"],
        "losses": winners["second"],
        "win_rate": interval(points, seed=seed).record() if points else None,
        "flipped": sum(each.flipped for each in whole) / len(whole) if whole else None,
        "longer_wins": sum(longer) / len(longer) if longer else None,
        "errors": dict(sorted(Counter(each.error["type"] for each in verdicts if each.error).items())),
    }
