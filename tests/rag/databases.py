"""The vector databases that knowledge bases may lie in: each runs, goes away, and is changed behind Praxis's back."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import psycopg
import pytest
from psycopg.rows import dict_row
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException
from qdrant_client import models

from tests.fakes.qdrant import QdrantServer
from tests.processes import eventually, free_port
from tests.services import PostgreSQL

Row = dict[str, Any]
"""All that is kept of a vector: `id`, `store`, `document`, `digest`, `embedding`, and nothing else."""


class VectorDatabase(ABC):
    """Alive inside `with`. `section` is what stands in `rag.vector_store` for it, `variables` are its secrets."""

    name: ClassVar[str]
    section: str
    variables: dict[str, str]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def start(self) -> None:
        """Serve, with what it held before."""

    @abstractmethod
    def stop(self) -> None:
        """Go away at once."""

    @abstractmethod
    def rows(self) -> list[Row]:
        """All that it holds."""

    @abstractmethod
    def put(self, rows: Sequence[Row]) -> None:
        """Hold these, in the place of others with their ids."""

    @abstractmethod
    def remove(self, ids: Sequence[int]) -> None:
        """Hold these no longer."""

    @abstractmethod
    def lying(self) -> AbstractContextManager[None]:
        """Have it keep other vectors than those that it is given."""

    def held(self) -> dict[str, int]:
        """How many vectors it holds of each knowledge base."""
        return dict(Counter(each["store"] for each in self.rows()))

    def spoil(self, first: str, last: str) -> None:
        """As if a process had died between telling the state and telling this, and as if an older copy had been
        restored: `first` lacks a vector, one of `last` is another's, and one is of a knowledge base that is gone."""
        rows = sorted(self.rows(), key=lambda each: each["id"])
        mine = [each for each in rows if each["document"] == first]
        wrong = next(each for each in reversed(rows) if each["document"] == last)
        stray = mine[0] | {"id": 99999, "store": "vs_gone", "document": "file-gone"}
        self.put([wrong | {"embedding": mine[1]["embedding"], "digest": "older"}, stray])
        self.remove([mine[0]["id"]])


class PgVector(VectorDatabase):
    """A real PostgreSQL with pgvector."""

    name = "pgvector"
    section = "pgvector: {}"

    def __init__(self) -> None:
        self._server = PostgreSQL(pgvector=True)

    def __enter__(self) -> Self:
        self._server.__enter__()
        self._url = self._server.database()
        self.variables = {"PRAXIS_PGVECTOR_URL": self._url}
        return self

    def __exit__(self, *error: object) -> None:
        self._server.__exit__(*error)

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def rows(self) -> list[Row]:
        with self._connection() as connection:
            table = self._table(connection)
            return list(connection.execute(f"SELECT * FROM {table}".encode()).fetchall()) if table else []

    def put(self, rows: Sequence[Row]) -> None:
        self.remove([each["id"] for each in rows])
        with self._connection() as connection, connection.cursor() as cursor:
            insert = (
                f"INSERT INTO {self._table(connection)} (id, store, document, digest, embedding) "
                "VALUES (%(id)s, %(store)s, %(document)s, %(digest)s, %(embedding)s)"
            )
            cursor.executemany(insert.encode(), rows)

    def remove(self, ids: Sequence[int]) -> None:
        with self._connection() as connection:
            delete = f"DELETE FROM {self._table(connection)} WHERE id = ANY(%s)"
            connection.execute(delete.encode(), [list(ids)])

    @contextmanager
    def lying(self) -> Iterator[None]:
        with self._connection() as connection:
            table = self._table(connection)
            connection.execute(
                "CREATE FUNCTION double() RETURNS trigger LANGUAGE plpgsql AS "
                "'BEGIN NEW.embedding := NEW.embedding + NEW.embedding; RETURN NEW; END'"
            )
            trigger = f"CREATE TRIGGER double BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION double()"
            connection.execute(trigger.encode())
        try:
            yield
        finally:
            with self._connection() as connection:
                connection.execute(f"DROP TRIGGER double ON {table}".encode())

    def _connection(self) -> psycopg.Connection[Row]:
        return psycopg.connect(self._url.replace("+psycopg", ""), row_factory=dict_row)

    def _table(self, connection: psycopg.Connection[Row]) -> str:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE 'praxis%'")
        row = found.fetchone()
        return f'"{row["tablename"]}"' if row else ""


class Qdrant(VectorDatabase):
    """Qdrant's API over the engine of its own client."""

    name = "qdrant"

    def __init__(self) -> None:
        port = free_port()
        self._server = QdrantServer(port, "qdrant-key-0123456789")
        self.section = f"qdrant: {{url: 'http://127.0.0.1:{port}', api_key_env: VECTORS_KEY}}"
        self.variables = {"VECTORS_KEY": "qdrant-key-0123456789"}

    def start(self) -> None:
        self._server.__enter__()

    def stop(self) -> None:
        self._server.__exit__(None, None, None)

    def rows(self) -> list[Row]:
        with self._server.lock:
            if not (name := self._collection()):
                return []
            records, _ = self._server.engine.scroll(name, limit=10_000, with_vectors=True)
        return [{"id": each.id, **(each.payload or {}), "embedding": each.vector} for each in records]

    def put(self, rows: Sequence[Row]) -> None:
        kept = ("store", "document", "digest")
        points = [
            models.PointStruct(
                id=each["id"], vector=each["embedding"], payload={key: each[key] for key in kept}
            )
            for each in rows
        ]
        with self._server.lock:
            self._server.engine.upsert(self._collection(), points)

    def remove(self, ids: Sequence[int]) -> None:
        with self._server.lock:
            self._server.engine.delete(self._collection(), models.PointIdsList(points=list(ids)))

    def lying(self) -> AbstractContextManager[None]:
        return self._server.lying()

    def _collection(self) -> str:
        names = [each.name for each in self._server.engine.get_collections().collections]
        return names[0] if names else ""


class Milvus(VectorDatabase):
    """Milvus Lite, Milvus's own engine for one machine, as a server."""

    name = "milvus"

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="praxis-milvus-"))
        self._url = f"http://127.0.0.1:{free_port()}"
        self.section = f"milvus: {{url: '{self._url}'}}"
        self.variables = {}

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        shutil.rmtree(self._folder)

    def start(self) -> None:
        port = self._url.rpartition(":")[2]
        place = ["--data-dir", str(self._folder / "data"), "--host", "127.0.0.1", "--port", port]
        with (self._folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "milvus_lite", "server", *place]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(self._answers, "Milvus answers")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def rows(self) -> list[Row]:
        with closing(self._client()) as client:
            return client.query(name, "id >= 0", ["*"]) if (name := self._collection(client)) else []

    def put(self, rows: Sequence[Row]) -> None:
        with closing(self._client()) as client:
            client.upsert(self._collection(client), list(rows))

    def remove(self, ids: Sequence[int]) -> None:
        with closing(self._client()) as client:
            client.delete(self._collection(client), ids=list(ids))

    def lying(self) -> AbstractContextManager[None]:
        pytest.fail("Milvus Lite keeps what it is given")

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()
        with contextlib.suppress(MilvusException), closing(self._client()) as client:
            client.list_collections()
            return True
        return False

    def _client(self) -> MilvusClient:
        # Its server ends connections on which it is asked too often whether it lives.
        return MilvusClient(self._url, grpc_options={"grpc.keepalive_permit_without_calls": False})

    def _collection(self, client: MilvusClient) -> str:
        names = client.list_collections()
        return names[0] if names else ""
