"""The scores of a predictions file, under the names that LLaMA-Factory gives them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from bench.eval.predictions import Prediction
from bench.eval.similarity import METRICS, Scorer, Similarity


def score(
    predictions: Sequence[Prediction], scorer: Scorer, *, preparation: float | None = None
) -> dict[str, Any]:
    """Means over the rows that were answered, and how many were not.

    Rows with an `error` have no answer: they are counted by type and left out of the means. Everything else is
    scored as LLaMA-Factory scores it, so an empty text gives zeros; those are counted too. Times are in
    seconds, and None where the file does not say; the runtime is the time in which at least one question was
    under way, pauses between a stop and a resume not included. One row is one step.
    """
    answered = [each for each in predictions if each.error is None]
    similarities = [scorer.score(each.predict, each.label) for each in answered]
    runtime = _runtime(predictions)
    rate = None if runtime is None else (len(answered) / runtime if runtime else 0.0)
    return {
        **{f"predict_{name}": value for name, value in _means(similarities).items()},
        "predict_model_preparation_time": preparation,
        "predict_runtime": runtime,
        "predict_samples_per_second": rate,
        "predict_steps_per_second": rate,
        "rows": len(predictions),
        "scored": len(answered),
        "errors": dict(sorted(Counter(each.error["type"] for each in predictions if each.error).items())),
        "truncated": sum(each.truncated for each in predictions),
        "empty_predictions": sum(not each.predict.strip() for each in answered),
        "empty_labels": sum(not each.label.strip() for each in answered),
    }


def _means(similarities: Sequence[Similarity]) -> dict[str, float | None]:
    if not similarities:
        return dict.fromkeys(METRICS)
    rows = [each.values() for each in similarities]
    return {name: sum(row[name] for row in rows) / len(rows) for name in METRICS}


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
