"""Asking the gateway as a client does, and reading what comes back to the last byte."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.fakes.engine import Deaf, Engine
from tests.processes import Gateway

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
MESSAGES = [{"role": "user", "content": "How is overtime paid?"}]


def house(
    *engines: Engine | Deaf | str,
    kind: str = "vllm",
    server: dict[str, Any] | None = None,
    backend: dict[str, Any] | None = None,
    **model: Any,
) -> str:
    """A models.yaml with one backend of these replicas and the model `law`, alias `default`.

    `server`, `backend` and `model` are further keys of these sections.
    """
    urls = [engine if isinstance(engine, str) else engine.url for engine in engines]
    law = {"backend": "local", "upstream": "qwen", "aliases": ["default"], **model}
    config = {
        "server": server or {},
        "backends": {"local": {"kind": kind, "replicas": urls, **(backend or {})}},
        "models": {"law": law},
    }
    return json.dumps(config, indent=1, ensure_ascii=False)


@dataclass(slots=True)
class Reply:
    """All of a reply. `torn` says that the connection broke before the reply's proper end."""

    status: int
    headers: httpx.Headers
    raw: bytes
    torn: bool = False
    seconds: float = 0.0

    @property
    def events(self) -> list[str]:
        """The data of each event of a stream; comments are none."""
        frames = self.raw.decode().replace("\r\n", "\n").split("\n\n")
        return [frame.removeprefix("data: ") for frame in frames if frame.startswith("data: ")]

    @property
    def done(self) -> bool:
        """Whether the stream said `[DONE]`."""
        return "[DONE]" in self.events

    @property
    def text(self) -> str:
        """What the model said, streamed or not."""
        if not self.headers["content-type"].startswith("text/event-stream"):
            choice = json.loads(self.raw)["choices"][0]
            return str(choice["message"]["content"] if "message" in choice else choice["text"])
        chunks = [json.loads(event) for event in self.events if event.startswith("{")]
        choices = [choice for chunk in chunks for choice in chunk.get("choices", ())]
        return "".join(
            (choice["delta"].get("content") if "delta" in choice else choice["text"]) or ""
            for choice in choices
        )

    @property
    def error(self) -> dict[str, Any] | None:
        """The error object of the body, or of the stream's last event; its shape is checked."""
        if self.headers["content-type"].startswith("text/event-stream"):
            last = json.loads(self.events[-1]) if self.events and self.events[-1].startswith("{") else {}
        else:
            last = json.loads(self.raw)
        if "error" not in last:
            return None
        assert set(last) == {"error"}
        assert set(last["error"]) == {"message", "type", "param", "code"}
        assert isinstance(last["error"]["message"], str)
        return dict(last["error"])


def ask(
    gateway: Gateway,
    *,
    stream: bool = False,
    path: str = CHAT,
    headers: dict[str, str] | None = None,
    **body: Any,
) -> Reply:
    """Ask `law` with the user's key and read to the end, whatever the end is."""
    asked: dict[str, Any] = {"model": "law"}
    asked |= {"messages": MESSAGES} if path == CHAT else {"prompt": "Overtime"}
    if stream:
        asked["stream"] = True
    return send(gateway, json.dumps(asked | body, ensure_ascii=False).encode(), path=path, headers=headers)


def send(
    gateway: Gateway, content: bytes, *, path: str = CHAT, headers: dict[str, str] | None = None
) -> Reply:
    """Send this very body with the user's key and read to the end."""
    given = {"content-type": "application/json", "authorization": f"Bearer {gateway.user_key}"} | (
        headers or {}
    )
    began = time.monotonic()
    with gateway.http.stream("POST", gateway.url + path, content=content, headers=given) as response:
        reply = Reply(response.status_code, response.headers, b"")
        try:
            for chunk in response.iter_raw():
                reply.raw += chunk
        except httpx.RemoteProtocolError:
            reply.torn = True
    reply.seconds = time.monotonic() - began
    return reply


def early_in_a_minute(seconds: float = 15) -> None:
    """Wait for the next minute unless so much of this one is left: each gives back some of what a minute allows."""
    left = 60 - time.time() % 60
    if left < seconds:
        time.sleep(left + 0.1)


class Asking:
    """A question asked on a thread of its own; `body` and `headers` as `ask` takes them."""

    def __init__(self, gateway: Gateway, **asked: Any) -> None:
        self.reply: Reply
        self._asked = asked
        self._gateway = gateway
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        self.reply = ask(self._gateway, **self._asked)

    @property
    def answered(self) -> bool:
        """Whether the reply is whole."""
        return not self._thread.is_alive()

    def end(self) -> Reply:
        """The whole reply."""
        self._thread.join(60)
        return self.reply


@contextmanager
def leaving(
    gateway: Gateway, *, after: bytes = b"", key: str = "", request_id: str = "leaving", **body: Any
) -> Iterator[None]:
    """Ask, wait until the reply has `after` in it, do what the block does, and leave without reading on."""
    content = json.dumps({"model": "law", "messages": MESSAGES} | body).encode()
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: praxis\r\nauthorization: Bearer {key or gateway.user_key}\r\n"
        f"x-request-id: {request_id}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as connection:
        connection.sendall(head.encode() + content)
        seen = b""
        while after and after not in seen:
            piece = connection.recv(65536)
            assert piece, f"the reply ended before {after!r}: {seen!r}"
            seen += piece
        yield
