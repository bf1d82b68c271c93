"""Whether answers rest on the documents, by what the gateway itself reports of each: its citations and doubts.

Only the gateway can tell which passage supports a sentence (`verified`) and which articles the knowledge base lacks
(`unverified`); here that is counted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from bench.eval.predictions import Prediction
from bench.intervals import interval

_ARTICLE = re.compile(r"第[零〇一二三四五六七八九十百千\d]+条(?:之[一二三四五六七八九十\d]+)?")

_DECLINES = (
    "没有找到能支持",
    "资料中没有依据",
    "资料中没有",
    "没有相关依据",
    "无法根据资料",
    "nothing in the knowledge base supports",
    "documents do not support",
    "the passages do not",
)
"""How the assistant, and the model on its instruction, say that the documents do not answer; lower case."""


def abstains(prediction: Prediction) -> bool:
    """Whether the answer says that the documents do not hold one: it cites nothing and says so, or no model wrote it."""
    if prediction.citations:
        return False
    text = prediction.predict.lower()
    return prediction.completion_tokens == 0 or any(each in text for each in _DECLINES)


def grounding(
    predictions: Sequence[Prediction], unanswerable: Sequence[Prediction] = (), *, seed: int = 0
) -> dict[str, Any] | None:
    """The grounding of the answers, shares from 0 to 1 with intervals; None where the gateway reported none.

    `predictions` answer questions that the documents can answer, `unanswerable` others, on which abstaining is
    right. Each share is None where nothing can be counted.
    """
    answers = [each for each in predictions if each.error is None and each.citations is not None]
    outside = [each for each in unanswerable if each.error is None and each.citations is not None]
    if not answers and not outside:
        return None
    citations = [each for answer in answers for each in answer.citations or []]
    named = [len(set(_ARTICLE.findall(answer.predict))) for answer in answers]
    doubtful = [len(answer.unverified or []) for answer in answers]
    articles = [
        1.0 - min(1.0, lacking / count) for count, lacking in zip(named, doubtful, strict=True) if count
    ]
    return {
        "answers": len(answers),
        "citations": len(citations),
        "cited": _share([float(bool(each.citations)) for each in answers], seed),
        "citations_verified": _share([float(each.get("verified") is True) for each in citations], seed),
        "articles_named": sum(named),
        "articles_exist": _share(articles, seed),
        "abstained_wrongly": _share([float(abstains(each)) for each in answers], seed),
        "unanswerable": len(outside),
        "abstained_rightly": _share([float(abstains(each)) for each in outside], seed),
    }


def _share(values: Sequence[float], seed: int) -> dict[str, Any] | None:
    return interval(values, seed=seed).record() if values else None
