"""One streamed chat completion over raw HTTP/1.1, timed as its bytes arrive.

Three beginnings are told apart, for benchmarks that confuse them report times that are not there: the first chunk
of any kind (engines send a role before there is a token), the first token of any channel (thinking, text, a
tool's call), and the first text that a reader sees.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

import httptools
import orjson

from bench.serve.prompts import Prompt

_CHANNELS = ("content", "reasoning", "reasoning_content")
_LONGEST_ERROR = 2000

_IDLE = 2.0
"""Seconds after which a kept connection is not used again: servers close idle ones (uvicorn after five), and a request
that leaves just then would fail by the client's fault."""


@dataclass(slots=True)
class Outcome:
    """What became of one request. Times are in seconds on the monotonic clock; `due` is when it was to leave.

    `error` is its kind where there is no whole answer: timeout, refused, disconnected, cut (no `[DONE]`), empty,
    stream_error (an error event), malformed or http_ and the status. `gaps` are between chunks that carry tokens. Where the
    server counts no tokens, `output_tokens` is the number of such chunks and `estimated` is true.
    """

    due: float
    sent: float = 0.0
    ended: float = 0.0
    first_chunk: float | None = None
    first_token: float | None = None
    first_visible: float | None = None
    last_token: float | None = None
    gaps: list[float] = field(default_factory=list)
    chunks: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    error: str | None = None
    message: str = ""


class Refused(Exception):
    """The reply is no whole answer: `kind` as in `Outcome.error`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class Client:
    """Sends streamed chat completions of `model` to `url`; connections are kept. `more` are further fields of each body."""

    def __init__(
        self, url: str, key: str | None, model: str, more: Mapping[str, Any], timeout: float
    ) -> None:
        place = urlsplit(url)
        self._tls = ssl.create_default_context() if place.scheme == "https" else None
        self._host = place.hostname or ""
        self._port = place.port or (443 if self._tls else 80)
        self._model = model
        self._more = dict(more)
        self._timeout = timeout
        self._idle: list[_Connection] = []
        head = [
            f"POST {place.path}/v1/chat/completions HTTP/1.1",
            f"host: {place.netloc.rpartition('@')[2]}",
            "content-type: application/json",
            "accept: text/event-stream",
        ]
        self._head = "\r\n".join(head + ([f"authorization: Bearer {key}"] if key else []))

    async def ask(self, prompt: Prompt, due: float) -> Outcome:
        """The outcome of one request that was due then. Raises nothing but what cancels it."""
        outcome = Outcome(due)
        request = self._request(prompt)
        outcome.sent = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout):
                await self._exchange(request, outcome)
        except Refused as refused:
            outcome.error, outcome.message = refused.kind, refused.message
        except TimeoutError:
            outcome.error, outcome.message = "timeout", f"No whole answer within {self._timeout:g} s."
        except OSError as error:
            outcome.error, outcome.message = "refused", f"No connection: {error}."
        outcome.ended = time.perf_counter()
        return outcome

    def close(self) -> None:
        """Close the kept connections."""
        for each in self._idle:
            each.close()
        self._idle.clear()

    def _request(self, prompt: Prompt) -> bytes:
        body = {
            "model": self._model,
            "messages": prompt.messages,
            "max_tokens": prompt.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self._more,
        }
        payload = json.dumps(body, ensure_ascii=False).encode()
        return f"{self._head}\r\ncontent-length: {len(payload)}\r\n\r\n".encode() + payload

    async def _exchange(self, request: bytes, outcome: Outcome) -> None:
        connection = next((each for each in self._kept() if each.usable), None) or await self._connect()
        with ExitStack() as unless_kept:
            unless_kept.callback(connection.close)
            await connection.send(request, outcome)
            if connection.usable:
                connection.used = time.perf_counter()
                self._idle.append(connection)
                unless_kept.pop_all()

    def _kept(self) -> Iterator[_Connection]:
        """Connections that stood idle, the last used first; those that ended meanwhile are not usable."""
        while self._idle:
            kept = self._idle.pop()
            if time.perf_counter() - kept.used < _IDLE:
                yield kept
            else:
                kept.close()

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        connection = _Connection()
        await loop.create_connection(partial(_same, connection), self._host, self._port, ssl=self._tls)
        return connection


class _Connection(asyncio.Protocol):
    """One connection, which serves one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._parser: httptools.HttpResponseParser
        self._done: asyncio.Future[None]
        self._outcome: Outcome
        self._now = 0.0
        self._rest = b""
        self._refusal = b""
        self._finished = False
        self.usable = False
        self.used = 0.0

    async def send(self, request: bytes, outcome: Outcome) -> None:
        """Send and read the whole reply into `outcome`. Raises Refused."""
        self._parser = httptools.HttpResponseParser(self)
        self._done = asyncio.get_running_loop().create_future()
        self._outcome = outcome
        self._rest = self._refusal = b""
        self.usable = self._finished = False
        self._transport.write(request)
        await self._done
        if not self._finished:
            raise Refused("cut", "The stream ended without `[DONE]`.")
        if outcome.first_token is None:
            raise Refused("empty", "The answer has no token.")
        if not outcome.output_tokens:
            outcome.output_tokens, outcome.estimated = outcome.chunks, True

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports have another parent

    def connection_lost(self, error: Exception | None) -> None:
        self.usable = False
        if hasattr(self, "_done"):
            self._fail("disconnected", f"The connection broke: {error or 'closed'}.")

    def data_received(self, data: bytes) -> None:
        self._now = time.perf_counter()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail("malformed", f"The reply is no HTTP: {error}.")

    def on_body(self, data: bytes) -> None:
        if self._parser.get_status_code() != 200:
            self._refusal = (self._refusal + data)[:_LONGEST_ERROR]
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._event(line[5:].strip())

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        self.usable = self._parser.should_keep_alive()
        if status != 200:
            self._fail(f"http_{status}", self._refusal.decode("utf-8", "replace"))
        elif not self._done.done():
            self._done.set_result(None)

    def _fail(self, kind: str, message: str) -> None:
        if not self._done.done():
            self._done.set_exception(Refused(kind, message))

    def _event(self, data: bytes) -> None:
        if data == b"[DONE]":
            self._finished = True
            return
        try:
            chunk = orjson.loads(data)
            if chunk.get("error"):
                self._fail("stream_error", str(chunk["error"])[:_LONGEST_ERROR])
                return
            if usage := chunk.get("usage"):
                self._outcome.input_tokens = usage.get("prompt_tokens") or 0
                self._outcome.output_tokens = usage.get("completion_tokens") or 0
            for choice in chunk.get("choices") or ():
                self._delta(choice.get("delta") or {})
        except (ValueError, AttributeError, TypeError):
            self._fail("malformed", f"An event is no chunk of a completion: {data[:200]!r}")

    def _delta(self, delta: Mapping[str, Any]) -> None:
        outcome, now = self._outcome, self._now
        if outcome.first_chunk is None:
            outcome.first_chunk = now
        if not delta.get("tool_calls") and not _carries_token(delta):
            return
        visible = bool(delta.get("content"))
        outcome.chunks += 1
        if outcome.first_token is None:
            outcome.first_token = now
        elif outcome.last_token is not None:
            outcome.gaps.append(now - outcome.last_token)
        if visible and outcome.first_visible is None:
            outcome.first_visible = now
        outcome.last_token = now


def _carries_token(delta: Mapping[str, Any]) -> bool:
    """Whether a token came. Its text may be empty: half a character is a token too; that of a role alone is none."""
    texts = [delta[each] for each in _CHANNELS if delta.get(each) is not None]
    return any(texts) or bool(texts and "role" not in delta)


def _same(connection: _Connection) -> _Connection:
    return connection


def failures(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those that got no whole answer."""
    return [each for each in outcomes if each.error is not None]
