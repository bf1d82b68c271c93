"""Targets side by side: their scores, what failed, and the same means over the rows that all of them answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.eval.predictions import Prediction, read
from bench.eval.run import Run
from bench.eval.scores import score
from bench.eval.similarity import METRICS, Scorer
from praxis.errors import ConfigError, Problem

_COUNTS = ("rows", "scored", "errors", "truncated")


@dataclass(frozen=True, slots=True)
class Entry:
    """The predictions of one target."""

    name: str
    predictions: list[Prediction]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`table`: every target over its own rows. `paired`: over the rows that all answered, where that differs.

    `note` says what keeps the numbers from being compared as they stand, or is None.
    """

    table: list[dict[str, Any]]
    paired: list[dict[str, Any]]
    note: str | None


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


def compare(found: Sequence[Entry], scorer: Scorer) -> Comparison:
    """Score every entry, and pair them by row."""
    table = [_row(each.name, each.predictions, scorer) for each in found]
    labels = [{each.id: each.label for each in entry.predictions} for entry in found]
    if any(len(rows) != len(entry.predictions) for rows, entry in zip(labels, found, strict=True)):
        return Comparison(table, [], "a file has two rows of the same id: rows cannot be paired")
    shared = set.intersection(*(set(rows) for rows in labels))
    if any(len({rows[each] for rows in labels}) > 1 for each in shared):
        return Comparison(table, [], "the labels differ: these are not answers to the same data set")
    answered = [{each.id for each in entry.predictions if each.error is None} for entry in found]
    common = set.intersection(*answered)
    if all(rows == common for rows in answered):
        return Comparison(table, [], None)
    paired = [
        _row(entry.name, [each for each in entry.predictions if each.id in common], scorer) for entry in found
    ]
    return Comparison(
        table, paired, f"not all targets answered the same rows; all of them answered {len(common)}"
    )


def _row(name: str, predictions: Sequence[Prediction], scorer: Scorer) -> dict[str, Any]:
    scores = score(predictions, scorer)
    return {
        "target": name,
        **{metric: scores[f"predict_{metric}"] for metric in METRICS},
        **{count: scores[count] for count in _COUNTS},
        "samples/s": scores["predict_samples_per_second"],
    }
