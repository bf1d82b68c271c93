"""What the fakes that answer at once share: a real HTTP server on a free port for as long as a test uses it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from tests.ports import free_port

_Fake = TypeVar("_Fake", bound="Listening")


class Listening:
    """A fake that listens inside `with`; `handler` answers its requests, and `key` is the one it takes (None: any)."""

    handler: type[Handler[Any]]
    key: str | None = None
    port: int = 0

    def __enter__(self) -> Self:
        self.stopping = threading.Event()
        self._server = _Server(("127.0.0.1", self.port or free_port()), self.handler)
        self._server.fake = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    fake: Listening


class Handler(BaseHTTPRequestHandler, Generic[_Fake]):
    """One connection to a fake. Whoever comes without its key is refused before `get` or `post` sees it."""

    protocol_version = "HTTP/1.1"
    # Head and body leave together: apart, the second waits for the first to be acknowledged.
    wbufsize = -1
    server: _Server

    @property
    def fake(self) -> _Fake:
        return self.server.fake  # type: ignore[return-value]  # the class that names this handler

    def get(self) -> None:
        """Answer a GET."""

    def post(self, asked: dict[str, Any]) -> None:
        """Answer a POST of this JSON."""

    def do_GET(self) -> None:
        if self._allowed():
            self.get()

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self._allowed():
            self.post(asked)

    def _allowed(self) -> bool:
        key = self.fake.key
        if key and self.headers.get("authorization") != f"Bearer {key}":
            self.send(401, {"error": {"message": "This key is not known."}})
            return False
        return True

    def send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        """Answer with JSON."""
        self.send_bytes(status, json.dumps(value).encode(), headers)

    def send_bytes(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        """Answer with these bytes."""
        self.send_response(status)
        for name, value in {"content-length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: a test's output is for its failures."""
