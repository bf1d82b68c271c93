"""The scores of a predictions file, under the names that LLaMA-Factory gives them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.eval.grounding import grounding
from bench.eval.predictions import Prediction
from bench.eval.similarity import METRICS, Scorer, Similarity
from bench.intervals import CONFIDENCE, RESAMPLES, intervals
from praxis.judging.thinking import without_thinking


@dataclass(frozen=True, slots=True)
class Scored:
    """Predictions that were answered, each with its similarity to its label; `all` has those without an answer too."""

    all: Sequence[Prediction]
    answered: Sequence[Prediction]
    similarities: Sequence[Similarity]

    def only(self, ids: set[int]) -> Scored:
        """The same of some rows."""
        kept = [each for each in zip(self.answered, self.similarities, strict=True) if each[0].id in ids]
        return Scored(
            [each for each in self.all if each.id in ids],
            [prediction for prediction, _ in kept],
            [similarity for _, similarity in kept],
        )

    def by_id(self) -> dict[int, tuple[Prediction, dict[str, float]]]:
        """Prediction and scores of every answered row."""
        pairs = zip(self.answered, self.similarities, strict=True)
        return {prediction.id: (prediction, similarity.values()) for prediction, similarity in pairs}


def similarities(
    predictions: Sequence[Prediction], scorer: Scorer, *, remove_thinking: bool = False
) -> Scored:
    """Score each row that was answered; thinking is removed from prediction and label alike where wanted."""
    clean = without_thinking if remove_thinking else str
    answered = [each for each in predictions if each.error is None]
    return Scored(
        predictions, answered, [scorer.score(clean(each.predict), clean(each.label)) for each in answered]
    )


def score(
    scored: Scored,
    *,
    preparation: float | None = None,
    seed: int = 0,
    unanswerable: Sequence[Prediction] = (),
) -> dict[str, Any]:
    """Means over the rows that were answered with their bootstrap intervals, and how many were not.

    Rows with an `error` have no answer: they are counted by type and left out of the means. Everything else is
    scored as LLaMA-Factory scores it, so an empty text gives zeros; those are counted too. Times are in
    seconds, and None where the file does not say; the runtime is the time in which at least one question was
    under way, pauses between a stop and a resume not included. One row is one step. `grounding` is None where
    no answer says what it rests on.
    """
    predictions, answered = scored.all, scored.answered
    values = [each.values() for each in scored.similarities]
    columns: dict[str, Sequence[float]] = {name: [row[name] for row in values] for name in METRICS}
    runtime = _runtime(predictions)
    rate = None if runtime is None else (len(answered) / runtime if runtime else 0.0)
    return {
        **{
            f"predict_{name}": sum(column) / len(column) if column else None
            for name, column in columns.items()
        },
        "predict_model_preparation_time": preparation,
        "predict_runtime": runtime,
        "predict_samples_per_second": rate,
        "predict_steps_per_second": rate,
        "rows": len(predictions),
        "scored": len(answered),
        "errors": dict(sorted(Counter(each.error["type"] for each in predictions if each.error).items())),
        "revisions": dict(sorted(Counter(each.revision for each in predictions if each.revision).items())),
        "truncated": sum(each.truncated for each in predictions),
        "empty_predictions": sum(not each.predict.strip() for each in answered),
        "empty_labels": sum(not each.label.strip() for each in answered),
        "intervals": {
            f"predict_{name}": each.record() for name, each in intervals(columns, seed=seed).items()
        }
        if answered
        else {},
        "bootstrap": {"seed": seed, "resamples": RESAMPLES, "confidence": CONFIDENCE},
        "grounding": grounding(predictions, unanswerable, seed=seed),
    }


def flat(scores: dict[str, Any]) -> dict[str, Any]:
    """`scores` as one row of a table: each interval as two columns beside its mean, each share of grounding as one."""
    row: dict[str, Any] = {}
    for name, value in scores.items():
        if name not in ("intervals", "grounding", "bootstrap"):
            row[name] = value
        if ends := scores["intervals"].get(name):
            row |= {f"{name}_low": ends["low"], f"{name}_high": ends["high"]}
    for name, value in (scores["grounding"] or {}).items():
        row[name] = value["mean"] if isinstance(value, dict) else value
    return row


def _runtime(predictions: Sequence[Prediction]) -> float | None:
    """The length of the union of the rows' intervals."""
    spans = sorted(
        (each.finished - each.seconds, each.finished)
        for each in predictions
        if each.finished is not None and each.seconds is not None
    )
    if not spans:
        return None
    total = 0.0
    reached = spans[0][0]
    for start, end in spans:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
