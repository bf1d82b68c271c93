"""A chat server whose every answer, and every failure, is known beforehand; a real HTTP server on a free port."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.listening import Handler, Listening


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


class _Chat(Handler["ChatServer"]):
    def get(self) -> None:
        self.send(200, {"object": "list", "data": [{"id": name} for name in self.fake.models]})

    def post(self, asked: dict[str, Any]) -> None:
        self._answer(asked, self.fake.next_fault(asked))

    def _answer(self, request: dict[str, Any], fault: Fault | None) -> None:
        match fault:
            case Status(code, retry_after):
                extra = {"retry-after": retry_after} if retry_after else None
                self.send(code, {"error": {"message": f"fault {code}"}}, extra)
            case Reset():
                self._reset()
            case Cut():
                self._cut()
            case Silence():
                self.fake.stopping.wait()
                self.close_connection = True
            case Body(content):
                self.send_bytes(200, content)
            case Says():
                self._complete(fault)
            case None if self.fake.answers:
                self._answer(request, self.fake.answers(request))
            case None:
                self._complete(Says(f"{request['model']} answers {_question(request)}"))

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _cut(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "1000")
        self.end_headers()
        self.wfile.write(b'{"choices": [')
        self.close_connection = True

    def _complete(self, says: Says) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": says.text, **says.more}
        if says.tool_calls:
            message["tool_calls"] = list(says.tool_calls)
        choice = {"index": 0, "message": message, "finish_reason": says.finish_reason}
        self.send(200, {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 5}})


@dataclass
class ChatServer(Listening):
    """Answers `MODEL answers QUESTION`. `faults` are met by the questions that they are listed under, in turn."""

    handler = _Chat
    models: Sequence[str] = ("base", "tuned")
    key: str | None = None
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    answers: Callable[[dict[str, Any]], Fault] | None = None
    "what every request without a fault is answered with, instead of the usual"
    port: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def asked(self) -> list[str]:
        """The last question of every request so far, in the order in which they came."""
        with self._lock:
            return [_question(request) for request in self.requests]

    def next_fault(self, request: dict[str, Any]) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            waiting = self.faults.get(_question(request))
            return waiting.pop(0) if waiting else None


def _question(request: dict[str, Any]) -> str:
    content = request["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
