"""Vectors in PostgreSQL with pgvector, through the driver that the state uses.

LlamaIndex's own package for it holds SQLAlchemy below the version that the state needs, keeps each text and all that
is known of it a second time, and searches approximately before it filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from praxis.errors import PraxisError
from rag.index.embedding import Vectors
from rag.index.places.place import Bounds, Collections, Naming
from rag.index.vectors import Batch

_INLINE = 1900
"""Numbers of a vector that fit into a page of a table; longer ones PostgreSQL keeps elsewhere."""


class PgVector(Collections):
    """A table with a row for each vector. Searches read all rows of a store, which is exact."""

    def __init__(self, url: str, prefix: str, naming: Naming, timeout: float) -> None:
        self._others = naming.all_of(prefix)
        self._table = naming.collection(prefix)
        self._dimensions = naming.dimensions
        milliseconds = round(timeout * 1000)
        settings = {
            "application_name": "praxis-vectors",
            "connect_timeout": max(2, round(timeout)),
            "tcp_user_timeout": milliseconds,
            "options": f"-c statement_timeout={milliseconds}",
            # Only a plan for the very ids of a query looks them up by hash.
            "prepare_threshold": None,
        }
        # A pooled connection that the server has closed is noticed before it is used.
        self._engine = sa.create_engine(
            make_url(url), pool_pre_ping=True, pool_size=8, pool_timeout=timeout, connect_args=settings
        )

    def failure(self, error: Exception) -> str | None:
        if isinstance(error, sa.exc.TimeoutError):
            return "all connections are busy"
        if isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError | sa.exc.InternalError):
            return str(error.orig).strip().splitlines()[0]
        if isinstance(error, sa.exc.ProgrammingError) and "UndefinedTable" in type(error.orig).__name__:
            return f"its table `{self._table}` is gone"
        return None

    def prepare(self) -> None:
        with self._engine.begin() as connection:
            installed = sa.text("SELECT 1 FROM pg_extension WHERE extname = 'vector'")
            if connection.execute(installed).first() is None:
                self._install(connection)
            tables = sa.text(
                "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename LIKE :like"
            )
            like = self._others.replace("_", r"\_") + "%"
            for name in connection.execute(tables, {"like": like}).scalars():
                if name != self._table:
                    connection.execute(sa.text(f'DROP TABLE IF EXISTS "{name}"'))
            connection.execute(
                sa.text(
                    f'CREATE TABLE IF NOT EXISTS "{self._table}" (id bigint PRIMARY KEY, store text NOT NULL, '
                    f"document text NOT NULL, digest text NOT NULL, embedding vector({self._dimensions}) NOT NULL)"
                )
            )
            if self._dimensions <= _INLINE:
                # A search reads every vector of a store: beside its row it costs one look less each.
                connection.execute(
                    sa.text(f'ALTER TABLE "{self._table}" ALTER COLUMN embedding SET STORAGE PLAIN')
                )
            connection.execute(
                sa.text(f'CREATE INDEX IF NOT EXISTS "{self._table}_store" ON "{self._table}" (store)')
            )

    def put(self, store_id: str, batch: Batch) -> None:
        values = [
            {"id": each, "store": store_id, "document": document, "digest": digest, "row": _text(row)}
            for each, document, digest, row in batch.entries()
        ]
        if values:
            self._run(
                f'INSERT INTO "{self._table}" VALUES (:id, :store, :document, :digest, CAST(:row AS vector)) '
                "ON CONFLICT (id) DO UPDATE SET store = excluded.store, document = excluded.document, "
                "digest = excluded.digest, embedding = excluded.embedding",
                values,
            )

    def remove(self, ids: Sequence[int]) -> None:
        self._run(f'DELETE FROM "{self._table}" WHERE id = ANY(CAST(:ids AS bigint[]))', {"ids": list(ids)})

    def drop(self, store_id: str) -> None:
        self._run(f'DELETE FROM "{self._table}" WHERE store = :store', {"store": store_id})

    def stores(self) -> set[str]:
        return {row.store for row in self._rows(f'SELECT DISTINCT store FROM "{self._table}"', {})}

    def digests(self, store_id: str) -> dict[int, str]:
        query = f'SELECT id, digest FROM "{self._table}" WHERE store = :store'
        return {row.id: row.digest for row in self._rows(query, {"store": store_id})}

    def nearest(
        self, store_id: str, vector: Vectors, limit: int, bounds: Bounds | None
    ) -> list[tuple[int, float]]:
        bounded, values = "", {"store": store_id, "vector": _text(vector), "limit": limit}
        if bounds is not None:
            inside = "id = ANY(CAST(:ids AS bigint[]))"
            bounded = f" AND NOT {inside}" if bounds.outside else f" AND {inside}"
            values["ids"] = bounds.ids.tolist()
        query = (
            f'SELECT id, embedding <#> CAST(:vector AS vector) AS distance FROM "{self._table}" '
            f"WHERE store = :store{bounded} ORDER BY distance, id LIMIT :limit"
        )
        return [(row.id, -row.distance) for row in self._rows(query, values)]

    def rows(self, ids: Sequence[int]) -> dict[int, Vectors]:
        query = (
            f'SELECT id, vector_send(embedding) AS raw FROM "{self._table}" '
            "WHERE id = ANY(CAST(:ids AS bigint[]))"
        )
        # Two counts of 16 bits come first, then the numbers, all in the order of the network.
        return {
            row.id: np.frombuffer(row.raw, ">f4", offset=4).astype(np.float32)
            for row in self._rows(query, {"ids": list(ids)})
        }

    def close(self) -> None:
        self._engine.dispose()

    def _install(self, connection: sa.Connection) -> None:
        try:
            connection.execute(sa.text("CREATE EXTENSION vector"))
        except sa.exc.DBAPIError as error:
            reason = str(error.orig).strip().splitlines()[0]
            raise PraxisError(
                f"PostgreSQL has no pgvector ({reason}): install pgvector on its machine, and as a superuser run "
                "`CREATE EXTENSION vector` in the database of `rag.vector_store.pgvector`."
            ) from error

    def _run(self, statement: str, values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(sa.text(statement), values)

    def _rows(self, query: str, values: dict[str, Any]) -> Sequence[Any]:
        with self._engine.connect() as connection:
            return connection.execute(sa.text(query), values).all()


def _text(vector: Vectors) -> str:
    """A vector as pgvector reads it, with as many digits as give the same numbers back."""
    return orjson.dumps(
        np.ascontiguousarray(vector, np.float32).reshape(-1), option=orjson.OPT_SERIALIZE_NUMPY
    ).decode()
