"""Vectors in Qdrant, through its own client, over HTTP.

The distance is the inner product, not the cosine: for that one Qdrant normalises vectors, and what came back would no
longer be what was put. No graph is built, since every search reads all vectors of its store.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from praxis.errors import PraxisError
from rag.index.embedding import Vectors
from rag.index.places.place import Bounds, Collections, Naming
from rag.index.vectors import Batch

_AT_ONCE = 5000
"""Payloads read together where all of a store's are read."""
_STORES = 100_000
"""Stores that are told apart; what lies in more is found in the next epoch."""


class Qdrant(Collections):
    """A collection with a point for each vector, whose payload names its store, document and text's digest."""

    def __init__(self, url: str, api_key: str | None, prefix: str, naming: Naming, timeout: float) -> None:
        self._others = naming.all_of(prefix)
        self._name = naming.collection(prefix)
        self._dimensions = naming.dimensions
        # The check of versions would ask the server now, which may be away.
        self._client = QdrantClient(
            url=url, api_key=api_key, timeout=math.ceil(timeout), check_compatibility=False
        )

    def failure(self, error: Exception) -> str | None:
        if isinstance(error, ResponseHandlingException):
            return f"{type(error.source).__name__}: {error.source}"
        if isinstance(error, ResourceExhaustedResponse):
            return "it takes no more requests for now"
        if isinstance(error, UnexpectedResponse):
            status = error.status_code or 0
            if status in (401, 403):
                return f"it refuses the key ({status})"
            if status == 404:
                return f"its collection `{self._name}` is gone"
            if status >= 500 or status in (408, 429):
                return f"it answers {status} {error.reason_phrase}"
        return None

    def prepare(self) -> None:
        names = {each.name for each in self._client.get_collections().collections}
        for name in names:
            if name.startswith(self._others) and name != self._name:
                self._client.delete_collection(name)
        if self._name not in names:
            self._client.create_collection(
                self._name,
                vectors_config=models.VectorParams(size=self._dimensions, distance=models.Distance.DOT),
                hnsw_config=models.HnswConfigDiff(m=0),
            )
        # Also where the process before this one died between the two; one that is there stays.
        self._client.create_payload_index(
            self._name,
            "store",
            field_schema=models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
            wait=True,
        )

    def put(self, store_id: str, batch: Batch) -> None:
        if not len(batch):
            return
        payloads = [
            {"store": store_id, "document": document, "digest": digest}
            for document, digest in zip(batch.documents, batch.digests, strict=True)
        ]
        points = models.Batch(ids=list(batch.ids), payloads=payloads, vectors=batch.vectors.tolist())
        self._settled(self._client.upsert(self._name, points, wait=True))

    def remove(self, ids: Sequence[int]) -> None:
        selector = models.PointIdsList(points=list(ids))
        self._settled(self._client.delete(self._name, selector, wait=True))

    def drop(self, store_id: str) -> None:
        selector = models.FilterSelector(filter=_of(store_id))
        self._settled(self._client.delete(self._name, selector, wait=True))

    def stores(self) -> set[str]:
        found = self._client.facet(self._name, "store", limit=_STORES, exact=True)
        return {str(hit.value) for hit in found.hits}

    def digests(self, store_id: str) -> dict[int, str]:
        held: dict[int, str] = {}
        after: models.ExtendedPointId | None = None
        while True:
            records, after = self._client.scroll(
                self._name,
                scroll_filter=_of(store_id),
                limit=_AT_ONCE,
                offset=after,
                with_payload=["digest"],
                with_vectors=False,
            )
            held |= {int(each.id): (each.payload or {}).get("digest", "") for each in records}
            if after is None:
                return held

    def nearest(
        self, store_id: str, vector: Vectors, limit: int, bounds: Bounds | None
    ) -> list[tuple[int, float]]:
        found = self._client.query_points(
            self._name,
            query=np.asarray(vector, np.float32).reshape(-1).tolist(),
            query_filter=_of(store_id, bounds),
            search_params=models.SearchParams(exact=True),
            limit=limit,
            with_payload=False,
        )
        return [(int(each.id), each.score) for each in found.points]

    def rows(self, ids: Sequence[int]) -> dict[int, Vectors]:
        records = self._client.retrieve(self._name, list(ids), with_payload=False, with_vectors=True)
        return {int(each.id): np.asarray(each.vector, np.float32) for each in records}

    def close(self) -> None:
        self._client.close()

    def _settled(self, result: models.UpdateResult) -> None:
        if result.status != models.UpdateStatus.COMPLETED:
            raise PraxisError(f"Qdrant has not done what it acknowledged (`{result.status.value}`).")


def _of(store_id: str, bounds: Bounds | None = None) -> models.Filter:
    """The points of a store, within `bounds`."""
    store = models.FieldCondition(key="store", match=models.MatchValue(value=store_id))
    if bounds is None:
        return models.Filter(must=[store])
    ids = models.HasIdCondition(has_id=bounds.ids.tolist())
    return models.Filter(must=[store], must_not=[ids]) if bounds.outside else models.Filter(must=[store, ids])
