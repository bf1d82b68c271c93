"""Targets side by side: their scores, what failed, which is better by how much, and the rows where they differ most.

Targets are compared over the rows that both answered, paired by row: the interval of a difference is that of the
mean of the rows' differences, which is far narrower than the difference of two intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.eval.predictions import Prediction, read
from bench.eval.run import Run
from bench.eval.scores import Scored, score, similarities
from bench.eval.similarity import METRICS, Scorer
from bench.intervals import intervals
from praxis.errors import ConfigError, Problem

_COUNTS = ("rows", "scored", "errors", "truncated")
_VERDICTS = {1: "better", 0: "no difference beyond noise", -1: "worse"}


@dataclass(frozen=True, slots=True)
class Entry:
    """The predictions of one target."""

    name: str
    predictions: list[Prediction]


@dataclass(frozen=True, slots=True)
class Wish:
    """How to compare: every target `against` this one (the first where None), the `rows` that differ most in `metric`."""

    against: str | None = None
    rows: int = 5
    metric: str = "rouge-l"
    seed: int = 0
    remove_thinking: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """`table`: every target over its own rows. `paired`: over the rows that all answered, where that differs.

    `differences` are of each target to the one that it is compared with, metric by metric; `rows` those where
    targets differ most, widest first. `note` says what keeps the numbers from being compared as they stand, or is None.
    """

    table: list[dict[str, Any]]
    paired: list[dict[str, Any]] = field(default_factory=list)
    differences: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    note: str | None = None


def entries(paths: Sequence[Path]) -> list[Entry]:
    """The targets of run folders and of single predictions files. Raises ConfigError when there are none."""
    found: list[Entry] = []
    for path in paths:
        if path.is_dir():
            run = Run(path)
            names = [each for each in run.record()["targets"] if run.predictions(each).exists()]
            if not names:
                raise ConfigError(str(path), [Problem(None, "", "this run has no predictions yet")])
            found += [Entry(name, read(run.predictions(name))) for name in names]
        else:
            found.append(Entry(path.stem, read(path)))
    names = [each.name for each in found]
    if len(set(names)) == len(names):
        return found
    return [Entry(f"{each.name} ({position})", each.predictions) for position, each in enumerate(found, 1)]


def compare(found: Sequence[Entry], scorer: Scorer, wish: Wish) -> Comparison:
    """Score every entry, and pair them by row. Raises ConfigError where `against` is none of them."""
    scored = {
        each.name: similarities(each.predictions, scorer, remove_thinking=wish.remove_thinking)
        for each in found
    }
    against = wish.against or found[0].name
    if against not in scored:
        listing = ", ".join(f"`{name}`" for name in scored)
        raise ConfigError("--against", [Problem(None, "", f"`{against}` is no target; there are {listing}")])
    table = [_row(name, each) for name, each in scored.items()]
    labels = [{each.id: each.label for each in entry.predictions} for entry in found]
    if any(len(rows) != len(entry.predictions) for rows, entry in zip(labels, found, strict=True)):
        return Comparison(table, note="a file has two rows of the same id: rows cannot be paired")
    shared = set.intersection(*(set(rows) for rows in labels))
    if any(len({rows[each] for rows in labels}) > 1 for each in shared):
        return Comparison(table, note="the labels differ: these are not answers to the same data set")
    answered = [{each.id for each in entry.answered} for entry in scored.values()]
    common = set.intersection(*answered)
    whole = all(rows == common for rows in answered)
    return Comparison(
        table,
        [] if whole else [_row(name, each.only(common)) for name, each in scored.items()],
        [each for name in scored if name != against for each in _differences(name, against, scored, wish)],
        _widest(scored, common, wish) if len(scored) > 1 else [],
        None if whole else f"not all targets answered the same rows; all of them answered {len(common)}",
    )


def _differences(name: str, against: str, scored: dict[str, Scored], wish: Wish) -> list[dict[str, Any]]:
    """How much better `name` is than `against` over the rows that both answered."""
    ours, theirs = scored[name].by_id(), scored[against].by_id()
    both = [row for row in ours if row in theirs]
    if not both:
        return []
    columns: dict[str, Sequence[float]] = {
        metric: [ours[row][1][metric] - theirs[row][1][metric] for row in both] for metric in METRICS
    }
    return [
        {
            "target": name,
            "against": against,
            "metric": metric,
            "difference": each.mean,
            "low": each.low,
            "high": each.high,
            "rows": each.rows,
            "verdict": _VERDICTS[each.sign],
        }
        for metric, each in intervals(columns, seed=wish.seed).items()
    ]


def _widest(scored: dict[str, Scored], common: set[int], wish: Wish) -> list[dict[str, Any]]:
    """The rows whose scores in the wished metric lie furthest apart."""
    by_id = {name: each.by_id() for name, each in scored.items()}
    spreads = []
    for row in sorted(common):
        values = {name: each[row][1][wish.metric] for name, each in by_id.items()}
        spreads.append((max(values.values()) - min(values.values()), row, values))
    spreads.sort(key=lambda each: (-each[0], each[1]))
    rows = []
    for spread, row, values in spreads[: wish.rows]:
        any_of_them = next(iter(by_id.values()))[row][0]
        rows.append(
            {
                "id": row,
                "metric": wish.metric,
                "spread": spread,
                "scores": values,
                "prompt": any_of_them.prompt,
                "label": any_of_them.label,
                "predictions": {name: each[row][0].predict for name, each in by_id.items()},
            }
        )
    return rows


def _row(name: str, scored: Scored) -> dict[str, Any]:
    scores = score(scored)
    return {
        "target": name,
        **{metric: scores[f"predict_{metric}"] for metric in METRICS},
        **{count: scores[count] for count in _COUNTS},
        "samples/s": scores["predict_samples_per_second"],
    }
