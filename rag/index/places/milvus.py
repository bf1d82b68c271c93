"""Vectors in Milvus, through its own client.

The index is the flat one: it compares every vector, and alone among Milvus's has no approximate stand-in for what has
just come in. Everything is read at strong consistency, for what was deleted must not be found again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import numpy as np
import orjson
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from rag.index.embedding import Vectors
from rag.index.places.place import Bounds, Collections, Naming
from rag.index.vectors import Batch

_AT_ONCE = 5000
"""Rows read together where all of a store's are read; Milvus gives at most 16,384."""
_INDEXES = {"embedding": {"index_type": "FLAT", "metric_type": "IP"}, "store": {"index_type": "INVERTED"}}
_GONE = {100, 101, 700}
"""Milvus's codes for a collection that is not there, is not loaded, or has no index."""
_BUSY = {1, 2, 3, 4, 5, 7, 8, 9, 11}
"""Its codes for a server that is starting, full or too busy."""


class Milvus(Collections):
    """A collection with an entity for each vector: id, store, document, text's digest, embedding."""

    def __init__(self, url: str, token: str | None, prefix: str, naming: Naming, timeout: float) -> None:
        self._url, self._token = url, token or ""
        self._others = naming.all_of(prefix)
        self._name = naming.collection(prefix)
        self._dimensions = naming.dimensions
        # Given a timeout, the client would try again until it is over; so each call has it from the channel, and whoever
        # asked is told at once. The place asks again by itself.
        self._options: dict[str, Any] = {"retry_times": 0}
        each_call = [{"name": [{}], "timeout": f"{timeout:g}s"}]
        self._channel = {
            "grpc.service_config": orjson.dumps({"methodConfig": each_call}).decode(),
            "grpc.keepalive_permit_without_calls": False,  # servers end connections on which too much is asked
        }
        self._timeout = timeout
        # What goes wrong is told by the place; the client would tell it again, with its traceback.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        self._connected: MilvusClient | None = None

    def failure(self, error: Exception) -> str | None:
        if isinstance(call := _rpc(error), grpc.Call):
            return f"{call.code().name}: {call.details()}"
        if isinstance(error, MilvusException):
            if error.code in _GONE:
                return f"its collection `{self._name}` is gone"
            if error.code in _BUSY:
                return str(error.message)
        return None

    def prepare(self) -> None:
        client = self._connect()
        names = client.list_collections(**self._options)
        for name in names:
            if name.startswith(self._others) and name != self._name:
                client.drop_collection(name, **self._options)
        if self._name not in names:
            client.create_collection(
                self._name, schema=self._schema(), consistency_level="Strong", **self._options
            )
        # Also where the process before this one died between the steps.
        there = client.list_indexes(self._name, **self._options)
        for field, settings in _INDEXES.items():
            if field not in there:
                indexes = client.prepare_index_params()
                indexes.add_index(field, index_name=field, **settings)
                client.create_index(self._name, indexes, **self._options)
        client.load_collection(self._name, **self._options)

    def put(self, store_id: str, batch: Batch) -> None:
        rows = [
            {"id": each, "store": store_id, "document": document, "digest": digest, "embedding": row}
            for each, document, digest, row in batch.entries()
        ]
        if rows:
            self._client.upsert(self._name, rows, **self._options)

    def remove(self, ids: Sequence[int]) -> None:
        if len(ids):
            self._client.delete(self._name, filter=_among("id", ids), **self._options)

    def drop(self, store_id: str) -> None:
        self._client.delete(self._name, filter=_is("store", store_id), **self._options)

    def stores(self) -> set[str]:
        found: set[str] = set()
        while True:
            # Milvus does not tell distinct values: each round asks for what is in none of those that are known.
            others = f"not ({_among('store', sorted(found))})" if found else "id >= 0"
            rows = self._query(others, ["store"], limit=1000)
            if not rows:
                return found
            found |= {row["store"] for row in rows}

    def digests(self, store_id: str) -> dict[int, str]:
        held: dict[int, str] = {}
        for row in self._all(_is("store", store_id), ["id", "digest"]):
            held[row["id"]] = row["digest"]
        return held

    def nearest(
        self, store_id: str, vector: Vectors, limit: int, bounds: Bounds | None
    ) -> list[tuple[int, float]]:
        wanted = _is("store", store_id)
        if bounds is not None:
            inside = _among("id", bounds.ids.tolist())
            wanted += f" and not ({inside})" if bounds.outside else f" and {inside}"
        (hits,) = self._client.search(
            self._name,
            data=[np.asarray(vector, np.float32).reshape(-1)],
            anns_field="embedding",
            filter=wanted,
            limit=limit,
            output_fields=["id"],
            search_params={"metric_type": "IP"},
            consistency_level="Strong",
            **self._options,
        )
        return [(int(hit["id"]), float(hit["distance"])) for hit in hits]

    def rows(self, ids: Sequence[int]) -> dict[int, Vectors]:
        rows = self._query(_among("id", ids), ["id", "embedding"], limit=len(ids))
        return {row["id"]: np.asarray(row["embedding"], np.float32) for row in rows}

    def close(self) -> None:
        if self._connected is not None:
            self._connected.close()

    @property
    def _client(self) -> MilvusClient:
        assert self._connected is not None, "the place prepares before it asks"
        return self._connected

    def _connect(self) -> MilvusClient:
        if self._connected is None:
            self._connected = MilvusClient(
                self._url, token=self._token, timeout=self._timeout, grpc_options=self._channel
            )
        return self._connected

    def _schema(self) -> Any:
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        for name in ("store", "document", "digest"):
            schema.add_field(name, DataType.VARCHAR, max_length=128)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=self._dimensions)
        return schema

    def _query(self, wanted: str, fields: list[str], limit: int) -> list[dict[str, Any]]:
        return list(
            self._client.query(
                self._name,
                filter=wanted,
                output_fields=fields,
                limit=limit,
                consistency_level="Strong",
                **self._options,
            )
        )

    def _all(self, wanted: str, fields: list[str]) -> Iterator[dict[str, Any]]:
        reading = self._client.query_iterator(
            self._name,
            batch_size=_AT_ONCE,
            filter=wanted,
            output_fields=fields,
            consistency_level="Strong",
            **self._options,
        )
        try:
            while rows := reading.next():
                yield from rows
        finally:
            reading.close()


def _rpc(error: BaseException | None) -> BaseException | None:
    """What gRPC raised, in or before `error`."""
    seen: list[BaseException] = []
    # The client raises errors from themselves, so that their causes have no end.
    while error is not None and error not in seen and not isinstance(error, grpc.RpcError):
        seen.append(error)
        error = error.__cause__ if error.__cause__ is not error else error.__context__
    return error


def _is(field: str, value: str) -> str:
    return f"{field} == {orjson.dumps(value).decode()}"


def _among(field: str, values: Sequence[int] | Sequence[str]) -> str:
    return f"{field} in {orjson.dumps(list(values)).decode()}"
