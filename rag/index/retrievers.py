"""LlamaIndex retrievers over the shelf: dense, keyword, and both fused by rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery

from rag.index.shelf import StoreIndex

Allowed = Mapping[str, npt.NDArray[np.int64]]
"""Per store, the only passages that a search may find."""

_DEPTH = 100
# Measured on 1,235 lay questions over 11,086 articles: 20 finds as much as the usual 60 and lets the first places of
# one ranking count; words help the embedding most at half its weight.
_RANK_OFFSET = 20
DENSE, KEYWORD = 1.0, 0.5
"""Weights of the question's own rankings."""
RESTATED_KEYWORD, RESTATED_DENSE = 1.0, 0.5
"""Weights of the rankings for the question in the statutes' words, which were chosen to meet their text."""


def _node(id_: int | str, score: float, store_id: str) -> NodeWithScore:
    return NodeWithScore(node=TextNode(id_=str(id_), metadata={"store_id": store_id}), score=score)


class _StoreRetriever(BaseRetriever):
    """Asks each store in turn and returns the best of all, best first."""

    def __init__(self, indexes: Mapping[str, StoreIndex], allowed: Allowed | None) -> None:
        super().__init__()
        self._indexes = indexes
        self._allowed = allowed

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found: list[NodeWithScore] = []
        for store_id, index in self._indexes.items():
            allowed = self._allowed[store_id] if self._allowed is not None else None
            with index.lock:
                ranked = self._ranked(index, query_bundle, allowed)
            found += [_node(id_, score, store_id) for id_, score in ranked]
        return sorted(found, key=lambda each: -(each.score or 0.0))[:_DEPTH]

    def _ranked(self, index: StoreIndex, query: QueryBundle, allowed: Any) -> list[tuple[int, float]]:
        raise NotImplementedError


class DenseRetriever(_StoreRetriever):
    """The passages whose vectors are nearest to the query's."""

    def _ranked(self, index: StoreIndex, query: QueryBundle, allowed: Any) -> list[tuple[int, float]]:
        nearest = index.vectors.query(
            VectorStoreQuery(
                query_embedding=query.embedding,
                similarity_top_k=_DEPTH,
                node_ids=None if allowed is None else [str(each) for each in allowed],
            )
        )
        pairs = zip(nearest.ids or (), nearest.similarities or (), strict=True)
        return [(int(id_), cosine) for id_, cosine in pairs]


class KeywordRetriever(_StoreRetriever):
    """The passages that share words with the query; none that shares nothing."""

    def _ranked(self, index: StoreIndex, query: QueryBundle, allowed: Any) -> list[tuple[int, float]]:
        return index.keywords.search(query.query_str, _DEPTH, allowed)


class Restated(BaseRetriever):
    """Asks another retriever `query` instead of what it is asked."""

    def __init__(self, retriever: BaseRetriever, query: QueryBundle) -> None:
        super().__init__()
        self._retriever = retriever
        self._query = query

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._retriever.retrieve(self._query)


class FusionRetriever(BaseRetriever):
    """Several retrievers' rankings as one, by weighted reciprocal rank (Cormack, Clarke and Büttcher, 2009).

    Only ranks are compared, for the scores of vectors and words are of different kinds.
    """

    def __init__(self, retrievers: Sequence[tuple[BaseRetriever, float]]) -> None:
        super().__init__()
        self._retrievers = retrievers

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        fused: dict[str, NodeWithScore] = {}
        for retriever, weight in self._retrievers:
            for rank, found in enumerate(retriever.retrieve(query_bundle), 1):
                share = weight / (_RANK_OFFSET + rank)
                if (known := fused.get(found.node.node_id)) is not None:
                    known.score = (known.score or 0.0) + share
                else:
                    fused[found.node.node_id] = NodeWithScore(node=found.node, score=share)
        return sorted(fused.values(), key=lambda each: -(each.score or 0.0))
