"""What the fake engines share: a real HTTP/1.1 server on its own thread, scripted, and remembering all it saw.

`Engine` is a bare asyncio server rather than a framework, since a framework cannot be made to reset a socket, to close a
kept-alive connection as it is reused, or to promise more body than it sends. A dialect (`vllm`, `lightllm`) says what a right
answer looks like; a `Fault` says how it goes wrong on the wire; a `Script`, which replicas may share, says which answer does.
"""

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.fakes.faults import Fault, Gate, Headers, Script
from tests.ports import free_port

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    417: "Expectation Failed",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(slots=True)
class Seen:
    """One request as it reached an engine, and what became of it."""

    method: str
    path: str
    headers: Headers
    body: bytes
    connection: int
    "which connection of this engine, counted from 1"
    turn: int
    "which request on that connection, counted from 1"
    at: float = field(default_factory=time.monotonic)
    sent: int = 0
    "bytes handed to the socket so far, head included"
    parts: list[bytes] = field(default_factory=list)
    "the body that was set out to be sent, in its parts"
    answered: float | None = None
    "when the answer was whole, on the monotonic clock"
    left: float | None = None
    "when the client was seen to have gone before the answer ended, on the monotonic clock"

    def header(self, name: str) -> str | None:
        """The first header of that name, or None."""
        return next((value for key, value in self.headers if key == name.lower()), None)

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


@dataclass(slots=True)
class Answer:
    """A right answer: `parts` are the events of a stream, or the one body."""

    status: int
    parts: list[bytes]
    headers: Headers = (("content-type", "application/json"),)
    stream: bool = False
    held: bool = False
    "the head leaves together with the first part"


def as_json(body: object, code: int = 200, headers: Headers = ()) -> Answer:
    """An answer of one JSON body."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(code, [text], (("content-type", "application/json"), *headers))


def as_text(body: str, code: int = 200) -> Answer:
    """An answer of plain text without a content type, as vLLM's adapter routes give it."""
    return Answer(code, [body.encode()], ())


def as_stream(events: Iterable[bytes], *, held: bool = False) -> Answer:
    """An answer of server-sent events."""
    return Answer(
        200, list(events), (("content-type", "text/event-stream; charset=utf-8"),), stream=True, held=held
    )


_OPEN = Gate(inf)

_SEEN_AFTER = 0.5
"""Seconds after which a request counts as running in what an engine tells of itself."""


class _Stream(asyncio.StreamReaderProtocol):
    """A stream protocol that tells at once when the client has gone, whether or not anybody reads."""

    def __init__(self, reader: asyncio.StreamReader, serve: Callable[["_Stream"], Any]) -> None:
        super().__init__(reader, self._begin)
        self.gone = asyncio.Event()
        self.reader = reader
        self.writer: asyncio.StreamWriter
        self._serve = serve

    async def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        await self._serve(self)

    def eof_received(self) -> bool | None:
        self.gone.set()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        super().connection_lost(exc)


class Engine:
    """A fake engine on a free port of the loopback, alive inside `with`. All methods may be called from the test's thread."""

    inference: Sequence[str] = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings")
    idle: float = 5.0
    "seconds after which a kept-alive connection without a request is closed"
    server: str = "uvicorn"
    calls_tools: bool = True
    "whether the model calls a tool where it may as well speak"

    def __init__(self, *, script: Script | None = None) -> None:
        self.script = script or Script()
        self.seen: list[Seen] = []
        self.connections = 0
        self.open = 0
        self.drop_reused = False
        "close a connection, without a byte, when a second request comes on it: the race of an engine that drops idle ones"
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=type(self).__name__, daemon=True)
        self._server: asyncio.Server | None = None

    # what a dialect fills in

    def answer(self, request: Seen) -> Answer:
        """The right answer to a request."""
        raise NotImplementedError

    def refusal(self, code: int, message: str) -> object:
        """The dialect's error body for a status."""
        raise NotImplementedError

    # what a test asks

    @property
    def url(self) -> str:
        """The engine's root, as models.yaml wants it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def asked(self) -> list[Seen]:
        """The inference requests so far."""
        return [request for request in list(self.seen) if request.path in self.inference]

    @property
    def running(self) -> int:
        """How many inference requests are under way, as an engine's gauges tell it, which do not follow every moment: a
        request that ends while they are read would seem to be somebody else's to the gateway, for seconds."""
        before = time.monotonic() - _SEEN_AFTER
        return sum(
            request.answered is None and request.left is None and request.at < before
            for request in self.asked
        )

    def refuse(self) -> None:
        """Stop listening and drop every connection, as a dead process does."""
        self._call(self._close())

    def listen(self) -> None:
        """Listen again, on the same port."""
        self._call(self._listen())

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._shutdown())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    # the server

    def _call(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    async def _listen(self) -> None:
        loop = self._loop
        # Of the worker's own, so that nobody else listens there while this engine does not.
        self.port = self.port or free_port()
        self._server = await loop.create_server(
            lambda: _Stream(asyncio.StreamReader(limit=1 << 20, loop=loop), self._serve),
            "127.0.0.1",
            self.port,
        )

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _shutdown(self) -> None:
        await self._close()
        # Every connection ends by itself once it is lost; one that was just accepted comes to light a turn later.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=0.05)
            await self._close()
        # The loop closes an aborted transport in a later turn.
        for _ in range(3):
            await asyncio.sleep(0)

    async def _serve(self, stream: _Stream) -> None:
        self.connections += 1
        self.open += 1
        self._writers.add(stream.writer)
        number = self.connections
        try:
            turn = 0
            while not stream.gone.is_set():
                turn += 1
                request = await self._read(stream.reader, number, turn)
                if self.drop_reused and turn > 1:
                    break
                self.seen.append(request)
                if not await self._exchange(stream, request) or request.header("connection") == "close":
                    break
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ConnectionError):
            pass
        finally:
            self.open -= 1
            self._writers.discard(stream.writer)
            # Closing would wait for a client that is gone to take the rest.
            if stream.gone.is_set():
                stream.writer.transport.abort()
            else:
                stream.writer.close()

    async def _read(self, reader: asyncio.StreamReader, connection: int, turn: int) -> Seen:
        # Only who has asked once is idle; a request that has begun may take its time.
        patience = self.idle if turn > 1 else None
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), patience)).decode("latin-1")
        line, *rest = head.split("\r\n")
        method, target, _ = line.split(" ", 2)
        headers = tuple(
            (name.lower(), value.strip()) for name, _, value in (text.partition(":") for text in rest if text)
        )
        named = dict(headers)
        if named.get("transfer-encoding") == "chunked":
            body = b""
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        else:
            body = await reader.readexactly(int(named.get("content-length", 0)))
        return Seen(method, urlsplit(target).path, headers, body, connection, turn)

    async def _exchange(self, stream: _Stream, request: Seen) -> bool:
        """Answer unless the client goes first; True when the connection may serve another request."""
        task = asyncio.ensure_future(self._reply(stream.writer, request))
        gone = asyncio.ensure_future(stream.gone.wait())
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if task.done() and task.exception() is None:
                return task.result()
            request.left = time.monotonic()
            return False
        finally:
            for waiting in (task, gone):
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await waiting

    async def _reply(self, writer: asyncio.StreamWriter, request: Seen) -> bool:
        fault = self.script.take() if request.path in self.inference else Fault()
        answer = self.answer(request)
        if fault.status is not None:
            answer = as_json(self.refusal(fault.status, fault.message), fault.status)
        await asyncio.sleep(fault.wait)
        await (fault.gate or _OPEN).passed(0)
        if fault.head:
            await self._write(writer, request, answer, fault)
        request.answered = time.monotonic() if fault.end == "finish" else None
        if fault.end == "stall":
            await asyncio.Event().wait()
        if fault.end == "reset":
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        return fault.end == "finish"

    async def _write(self, writer: asyncio.StreamWriter, request: Seen, answer: Answer, fault: Fault) -> None:
        head = self._head(answer, fault)
        if not (answer.held and answer.stream):
            await self._put(writer, request, head)
            head = b""
        await asyncio.sleep(fault.pause)
        parts = fault.edit(answer.parts) if fault.edit else answer.parts
        request.parts = parts
        for number, part in enumerate(parts):
            if number and fault.gap:
                await asyncio.sleep(fault.gap)
            await (fault.gate or _OPEN).passed(number + 1)
            step = fault.step or max(len(part), 1)
            for start in range(0, len(part), step):
                piece = part[start : start + step]
                await self._put(
                    writer,
                    request,
                    head + (b"%x\r\n%b\r\n" % (len(piece), piece) if answer.stream else piece),
                )
                head = b""
                if fault.step:
                    await asyncio.sleep(0)
        if answer.stream and fault.end == "finish":
            await self._put(writer, request, b"0\r\n\r\n")

    def _head(self, answer: Answer, fault: Fault) -> bytes:
        length = (
            ("transfer-encoding", "chunked")
            if answer.stream
            else ("content-length", str(sum(map(len, answer.parts))))
        )
        lines = [f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Status')}"]
        lines += [
            f"{name}: {value}"
            for name, value in (("server", self.server), *answer.headers, *fault.headers, length)
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def _put(self, writer: asyncio.StreamWriter, request: Seen, data: bytes) -> None:
        if not data:
            return
        writer.write(data)
        await writer.drain()
        request.sent += len(data)


class Deaf:
    """An address where a connection is neither made nor refused: a listener whose queue is full and never emptied."""

    def __enter__(self) -> Self:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self._queue: list[socket.socket] = []
        for _ in range(4):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(self._listener.getsockname())
            self._queue.append(waiting)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for waiting in (*self._queue, self._listener):
            waiting.close()

    @property
    def url(self) -> str:
        """The root, as models.yaml wants it."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"
