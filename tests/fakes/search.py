"""A server of knowledge bases whose every hit is known beforehand; real HTTP on a free port."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Hit = tuple[str, str] | None
"""Law and article of a passage, or None for one of no article."""


@dataclass
class SearchServer:
    """One knowledge base. `finds` are the hits of a question, best first, or the status that refuses it; else nothing."""

    finds: Mapping[str, Sequence[Hit] | int]
    name: str = "statutes"
    key: str | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"


def _handler(server: SearchServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body leave together: apart, the second waits for the first to be acknowledged.
        wbufsize = -1

        def do_GET(self) -> None:
            store = {"id": "vs_1", "name": server.name, "file_counts": {"completed": 2, "total": 2}}
            self._send(200, {"object": "list", "data": [store], "has_more": False})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            server.requests.append(asked)
            found = server.finds.get(asked["query"], ())
            if isinstance(found, int):
                self._send(found, {"error": {"message": f"fault {found}"}})
            else:
                hits = [_hit(hit, 1 - 0.01 * n) for n, hit in enumerate(found[: asked["max_num_results"]])]
                self._send(200, {"object": "vector_store.search_results.page", "data": hits})

        def _send(self, status: int, value: Any) -> None:
            if server.key and self.headers.get("authorization") != f"Bearer {server.key}":
                status, value = 401, {"error": {"message": "This key is not known."}}
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing: a test's output is for its failures."""

    return Handler


def _hit(hit: Hit, score: float) -> dict[str, Any]:
    facts = {"law": hit[0], "article": hit[1]} if hit else {"page": 3}
    return {"file_id": "file_1", "filename": "x.txt", "score": score, "attributes": facts, "content": []}
