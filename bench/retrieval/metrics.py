"""How well a ranking finds the gold articles: hit@k, recall@k, MRR@10 and nDCG@10 of one question.

Relevance is binary. The ranking is of distinct articles: an article that several passages come from counts
once, at the rank of its first. The ideal of nDCG has all gold articles first.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from bench.retrieval.questions import Article

DEPTH = 10
"""How deep MRR and nDCG look."""


def figures(
    ranking: Sequence[Article], gold: Collection[Article], cutoffs: Sequence[int]
) -> dict[str, float]:
    """The metrics of one question, 0 to 1, in the order in which tables show them."""
    found = ranks(ranking, gold)
    hits = {f"hit@{k}": float(any(rank <= k for rank in found)) for k in cutoffs}
    recalls = {f"recall@{k}": sum(rank <= k for rank in found) / len(gold) for k in cutoffs}
    near = [rank for rank in found if rank <= DEPTH]
    gain = sum(1 / math.log2(rank + 1) for rank in near)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(gold), DEPTH) + 1))
    return {
        **hits,
        **recalls,
        f"mrr@{DEPTH}": 1 / near[0] if near else 0.0,
        f"ndcg@{DEPTH}": gain / ideal,
    }


def ranks(ranking: Sequence[Article], gold: Collection[Article]) -> list[int]:
    """The ranks from 1 at which gold articles stand."""
    return [rank for rank, article in enumerate(ranking, start=1) if article in gold]
