"""A Qdrant server: its HTTP API over the engine that Qdrant's own client brings for use without one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from qdrant_client import QdrantClient, models

from tests.fakes.listening import Handler, Listening


class _Requests(Handler["QdrantServer"]):
    def get(self) -> None:
        self._answer({})

    def post(self, asked: dict[str, Any]) -> None:
        self._answer(asked)

    def do_PUT(self) -> None:  # noqa: N802
        self.do_POST()

    def do_DELETE(self) -> None:  # noqa: N802
        self.do_GET()

    def _allowed(self) -> bool:
        if self.fake.stopping.is_set():  # a connection from before it went away
            self.close_connection = True
            return False
        if self.fake.key and self.headers.get("api-key") != self.fake.key:
            self.send(401, {"status": {"error": "Must provide an API key"}})
            return False
        return True

    def _answer(self, asked: dict[str, Any]) -> None:
        path = urlsplit(self.path).path.strip("/").split("/")
        try:
            with self.fake.lock:
                result = self.fake.answer(self.command, path, asked)
        except ValueError as error:
            status = 404 if "not found" in str(error) else 400
            self.send(status, {"status": {"error": str(error)}})
        else:
            self.send(200, {"result": result, "status": "ok", "time": 0.0})


class QdrantServer(Listening):
    """Its collections outlive leaving and entering `with` again, as a restart; `engine` is what holds them."""

    handler = _Requests

    def __init__(self, port: int, key: str) -> None:
        self.port, self.key = port, key
        self.engine = QdrantClient(":memory:")
        self.lock = threading.Lock()
        self._indexed: set[tuple[str, str]] = set()
        self._factor = 1.0

    @contextmanager
    def lying(self) -> Iterator[None]:
        """Keep vectors that are twice as long as what was put."""
        self._factor = 2.0
        try:
            yield
        finally:
            self._factor = 1.0

    def answer(self, method: str, path: list[str], asked: dict[str, Any]) -> Any:
        """The `result` of a request. Raises ValueError for what the server would refuse."""
        match (method, *path):
            case ("GET", "collections"):
                return self.engine.get_collections().model_dump(mode="json")
            case ("PUT", "collections", name):
                settings = models.CreateCollection(**asked)
                return self.engine.create_collection(name, vectors_config=settings.vectors)
            case ("DELETE", "collections", name):
                return self.engine.delete_collection(name)
            case ("PUT", "collections", name, "index"):
                self.engine.get_collection(name)
                self._indexed.add((name, models.CreateFieldIndex(**asked).field_name))
                return {"operation_id": 1, "status": "completed"}
            case ("POST", "collections", name, "facet"):
                wanted = models.FacetRequest(**asked)
                if (name, wanted.key) not in self._indexed:
                    raise ValueError(f"No appropriate index for faceting: `{wanted.key}`")
                return self.engine.facet(name, **_values(wanted)).model_dump(mode="json")
            case (_, "collections", name, "points", *action):
                return self._points(name, method, action, asked)
        raise ValueError(f"not found: {method} {path}")

    def _points(self, name: str, method: str, action: list[str], asked: dict[str, Any]) -> Any:
        match (method, *action):
            case ("PUT",):
                batch = models.PointsBatch(**asked).batch
                batch.vectors = [[self._factor * each for each in row] for row in batch.vectors]  # type: ignore[union-attr]
                return self.engine.upsert(name, batch).model_dump(mode="json")
            case ("POST", "delete"):
                chosen = models.PointIdsList if "points" in asked else models.FilterSelector
                return self.engine.delete(name, chosen(**asked)).model_dump(mode="json")
            case ("POST",):
                request = models.PointRequest(**asked)
                found = self.engine.retrieve(
                    name, request.ids, with_payload=request.with_payload, with_vectors=request.with_vector
                )
                return [each.model_dump(mode="json") for each in found]
            case ("POST", "scroll"):
                wanted = models.ScrollRequest(**asked)
                records, after = self.engine.scroll(
                    name,
                    scroll_filter=wanted.filter,
                    limit=wanted.limit or 10,
                    offset=wanted.offset,
                    with_payload=wanted.with_payload or False,
                    with_vectors=wanted.with_vector or False,
                )
                points = [each.model_dump(mode="json") for each in records]
                return {"points": points, "next_page_offset": after}
            case ("POST", "query"):
                query = models.QueryRequest(**asked)
                assert query.params
                assert query.params.exact
                return self.engine.query_points(
                    name, query=query.query, query_filter=query.filter, limit=query.limit or 10
                ).model_dump(mode="json")
        raise ValueError(f"not found: {method} {action}")


def _values(request: models.FacetRequest) -> dict[str, Any]:
    return {"key": request.key, "limit": request.limit or 10, "facet_filter": request.filter}
