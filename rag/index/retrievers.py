"""A LlamaIndex retriever over the shelf: vectors and words together, over one store or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from rag.index.embedding import Vectors
from rag.index.shelf import StoreIndex

Allowed = Mapping[str, npt.NDArray[np.int64]]
"""Per store, the only passages that a search may find."""

_DEPTH = 100
_WORDS = 0.3
"""What the best match of words is worth, where an embedding's whole span from unrelated to same is worth 1. Measured
on 1,235 lay questions over 11,086 articles: from .2 to .4 it makes little difference, and sums find more than ranks."""
_RESTATED = 0.3
"""The weight of the question in the statutes' words beside the question itself."""


@dataclass(frozen=True, slots=True)
class Wording:
    """One way to say what is looked for: its text, its vector, and its weight among the vectors."""

    text: str
    vector: Vectors
    weight: float = 1.0


def wordings(question: str, restated: str, vectors: Vectors) -> list[Wording]:
    """The question and, where it is not empty, the question in the statutes' words; `vectors` has a row for each."""
    both = [Wording(question, vectors[0])]
    return [*both, Wording(restated, vectors[1], _RESTATED)] if restated else both


class HybridRetriever(BaseRetriever):
    """The passages whose vectors are near the question's or which share its words, by the sum of both.

    `span` is the difference between the embedding's cosines of unrelated and of same texts: it makes the two kinds
    of scores comparable, so that unlike ranks they also tell how far apart two passages are.
    """

    def __init__(
        self,
        indexes: Mapping[str, StoreIndex],
        allowed: Allowed | None,
        said: Sequence[Wording],
        span: float,
        limit: int,
    ) -> None:
        super().__init__()
        self._indexes = indexes
        self._allowed = allowed
        self._said = said
        self._words = _WORDS * span
        self._limit = limit

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """The best `limit` passages of all stores, best first."""
        near: dict[tuple[str, int], float] = {}
        shared: list[dict[tuple[str, int], float]] = [{} for _ in self._said]
        for store_id, index in self._indexes.items():
            allowed = self._allowed[store_id] if self._allowed is not None else None
            cosines, words = self._candidates(index, allowed)
            near |= {(store_id, id_): cosine for id_, cosine in cosines.items()}
            for known, found in zip(shared, words, strict=True):
                known |= {(store_id, id_): score for id_, score in found.items()}
        scores = dict(near)
        for known in shared:
            # Only against the best of all stores does a match of words count, for each store weighs terms its own way.
            best = max(known.values(), default=1.0)
            for key, score in known.items():
                scores[key] += self._words * score / best
        # Nodes are made for these only: making one takes longer than scoring it.
        ranked = sorted(scores.items(), key=lambda each: -each[1])[: self._limit]
        return [
            NodeWithScore(node=TextNode(id_=str(id_), metadata={"store_id": store_id}), score=score)
            for (store_id, id_), score in ranked
        ]

    def _candidates(
        self, index: StoreIndex, allowed: npt.NDArray[np.int64] | None
    ) -> tuple[dict[int, float], list[dict[int, float]]]:
        """What one store has: each candidate's cosine and, per wording, its score by words."""
        weight = sum(each.weight for each in self._said)
        vector = np.sum([each.weight * each.vector for each in self._said], axis=0) / weight
        near = index.nearest(vector, _DEPTH, allowed)
        cosines = dict(near.found)
        with index.lock:
            search = index.keywords.search
            words = [dict(search(each.text, _DEPTH, allowed, also=cosines)) for each in self._said]
        unseen = {id_ for found in words for id_ in found} - cosines.keys()
        cosines |= index.vectors.cosines(sorted(unseen), near.vector)
        cosines = {id_: cosine + near.rise for id_, cosine in cosines.items()}
        return cosines, [{id_: found[id_] for id_ in found if id_ in cosines} for found in words]
