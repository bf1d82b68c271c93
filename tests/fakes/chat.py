"""A chat server whose every answer, and every failure, is known beforehand; a real HTTP server on a free port."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Status:
    """An error status, in the error shape of OpenAI."""

    code: int
    retry_after: str | None = None


@dataclass(frozen=True)
class Reset:
    """The connection is reset instead of an answer."""


@dataclass(frozen=True)
class Cut:
    """The answer ends in the middle."""


@dataclass(frozen=True)
class Silence:
    """No answer until the server stops."""


@dataclass(frozen=True)
class Says:
    """This text instead of the usual one; `length` as the reason to finish means that it was cut short.

    `more` are further fields of the message, such as a grounded answer's.
    """

    text: str | None
    finish_reason: str = "stop"
    tool_calls: tuple[dict[str, Any], ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Body:
    """A reply of these bytes with status 200."""

    content: bytes


Fault = Status | Reset | Cut | Silence | Says | Body


@dataclass
class ChatServer:
    """Answers `MODEL answers QUESTION`. `faults` are met by the questions that they are listed under, in turn."""

    models: Sequence[str] = ("base", "tuned")
    key: str | None = None
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    answers: Callable[[dict[str, Any]], Fault] | None = None
    "what every request without a fault is answered with, instead of the usual"
    port: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", self.port), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def asked(self) -> list[str]:
        """The last question of every request so far, in the order in which they came."""
        with self._lock:
            return [_question(request) for request in self.requests]

    def next_fault(self, request: dict[str, Any]) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            waiting = self.faults.get(_question(request))
            return waiting.pop(0) if waiting else None

    def wait_for_end(self) -> None:
        self._stopping.wait()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def _question(request: dict[str, Any]) -> str:
    content = request["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _handler(chat: ChatServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body leave together: apart, the second waits for the first to be acknowledged.
        wbufsize = -1

        def do_GET(self) -> None:
            if not self._allowed():
                return
            self._send(200, {"object": "list", "data": [{"id": name} for name in chat.models]})

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self._allowed():
                self._answer(request, chat.next_fault(request))

        def _allowed(self) -> bool:
            if chat.key and self.headers.get("authorization") != f"Bearer {chat.key}":
                self._send(401, {"error": {"message": "This key is not known."}})
                return False
            return True

        def _answer(self, request: dict[str, Any], fault: Fault | None) -> None:
            match fault:
                case Status(code, retry_after):
                    extra = {"retry-after": retry_after} if retry_after else {}
                    self._send(code, {"error": {"message": f"fault {code}"}}, extra)
                case Reset():
                    linger = struct.pack("ii", 1, 0)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self.close_connection = True
                case Cut():
                    self.send_response(200)
                    self.send_header("content-length", "1000")
                    self.end_headers()
                    self.wfile.write(b'{"choices": [')
                    self.close_connection = True
                case Silence():
                    chat.wait_for_end()
                    self.close_connection = True
                case Body(content):
                    self._send_bytes(200, content, {})
                case Says():
                    self._complete(fault)
                case None if chat.answers:
                    self._answer(request, chat.answers(request))
                case None:
                    self._complete(Says(f"{request['model']} answers {_question(request)}"))

        def _complete(self, says: Says) -> None:
            message: dict[str, Any] = {"role": "assistant", "content": says.text, **says.more}
            if says.tool_calls:
                message["tool_calls"] = list(says.tool_calls)
            choice = {"index": 0, "message": message, "finish_reason": says.finish_reason}
            self._send(200, {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 5}})

        def _send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
            self._send_bytes(status, json.dumps(value).encode(), headers or {})

        def _send_bytes(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"content-length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing: a test's output is for its failures."""

    return Handler
