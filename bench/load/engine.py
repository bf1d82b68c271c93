"""A fake engine that answers chat completions as fast as one core of Python can: the gateway's backdrop.

    python -m bench.load.engine --port 9001 [--events 64] [--interval 0.01] [--core 1]

It speaks enough of vLLM's dialect to stand behind a gateway: `/health`, `/v1/models`, and chat completions
as JSON or, with `"stream": true`, as SSE with one write, and so one system call, per event, as an engine writes
them; `stream_options.include_usage` adds the usage event. The events of the model `bench` follow each other at
once, those of `bench-paced` an interval (seconds) apart.

A stream costs it some 60 µs of Python beside 300 µs of system calls, so one in C would gain little.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
from collections.abc import Sequence
from typing import Any, cast

import httptools
import uvloop

MODEL = "bench"
"""The model that answers at once."""

PACED = "bench-paced"
"""The model that streams at the pace of an engine."""

_PACED_NAME = f'"{PACED}"'.encode()
_SHORT = 512
_STREAM = re.compile(rb'"stream": ?true')
_USAGE_WANTED = re.compile(rb'"include_usage": ?true')
_TEXT = " 加班费"
_USAGE = {"prompt_tokens": 32, "completion_tokens": 64, "total_tokens": 96}


def _head(kind: bytes, framing: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\n" + framing + b"\r\n\r\n"


def _plain(value: Any) -> bytes:
    body = json.dumps(value, ensure_ascii=False).encode()
    return _head(b"application/json", b"content-length: %d" % len(body)) + body


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _event(model: str, choices: list[dict[str, Any]], **more: Any) -> bytes:
    chunk = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": model,
        "choices": choices,
        **more,
    }
    return _chunk(b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n")


def _text_event(model: str, delta: dict[str, str], finish: str | None) -> bytes:
    return _event(model, [{"index": 0, "delta": delta, "finish_reason": finish}])


class Replies:
    """Every byte that the engine ever sends, made once. `events` counts those that carry text."""

    def __init__(self, events: int) -> None:
        cards = [{"id": each, "object": "model", "root": each} for each in (MODEL, PACED)]
        self.models = _plain({"object": "list", "data": cards})
        self.health = _plain({})
        message = {"role": "assistant", "content": _TEXT * 64}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self.completion = _plain(
            {
                "id": "chatcmpl-bench",
                "object": "chat.completion",
                "created": 0,
                "model": MODEL,
                "choices": [choice],
                "usage": _USAGE,
            }
        )
        self.stream_head = _head(b"text/event-stream; charset=utf-8", b"transfer-encoding: chunked")
        self.stream = self._events(MODEL, events)
        self.paced = self._events(PACED, events)
        self.done = [_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"]
        self.usage = [_event(MODEL, [], usage=_USAGE), *self.done]

    @staticmethod
    def _events(model: str, count: int) -> list[bytes]:
        text = _text_event(model, {"content": _TEXT}, None)
        return [*[text] * (count - 1), _text_event(model, {}, "stop")]


class Connection(asyncio.Protocol):
    """One client of the engine."""

    def __init__(self, replies: Replies, interval: float) -> None:
        self._replies = replies
        self._interval = interval
        self._body: list[bytes] = []
        self._url = b""
        self._transport: asyncio.Transport
        self._stream: asyncio.TimerHandle | None = None
        # Called for every request: a method of a C type costs no Python frame. The parser looks for it once.
        self.on_body = self._body.append
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports have another parent

    def connection_lost(self, error: Exception | None) -> None:
        if self._stream is not None:
            self._stream.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        self._url = b""
        self._body.clear()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_message_complete(self) -> None:
        if self._url.startswith(b"/v1/models"):
            self._transport.write(self._replies.models)
        elif self._parser.get_method() != b"POST":
            self._transport.write(self._replies.health)
        else:
            body = b"".join(self._body)
            # Only the messages are ever long; what is looked for stands before or after them.
            self._complete(body if len(body) <= 2 * _SHORT else body[:_SHORT] + body[-_SHORT:])

    def _complete(self, body: bytes) -> None:
        write = self._transport.write
        if not _STREAM.search(body):
            write(self._replies.completion)
            return
        paced = _PACED_NAME in body
        events = self._replies.paced if paced else self._replies.stream
        end = self._replies.usage if _USAGE_WANTED.search(body) else self._replies.done
        write(self._replies.stream_head)
        if paced:
            self._paced([*events, *end], 0, asyncio.get_running_loop().time())
            return
        for event in events:
            write(event)
        for event in end:
            write(event)

    def _paced(self, events: Sequence[bytes], position: int, due: float) -> None:
        if position >= len(self._replies.paced):
            for event in events[position:]:
                self._transport.write(event)
            return
        self._transport.write(events[position])
        due += self._interval
        self._stream = asyncio.get_running_loop().call_at(due, self._paced, events, position + 1, due)


async def serve(port: int, *, events: int, interval: float) -> None:
    """Serve until SIGTERM or SIGINT; the port is printed once it listens."""
    replies = Replies(events)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    server = await loop.create_server(lambda: Connection(replies, interval), "127.0.0.1", port, backlog=4096)
    os.write(1, b"%d\n" % server.sockets[0].getsockname()[1])
    await stop.wait()
    server.close()


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(prog="python -m bench.load.engine", description="A fast fake engine.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one and prints it")
    parser.add_argument("--events", type=int, default=64, help="events of a stream, [DONE] not counted")
    parser.add_argument(
        "--interval", type=float, default=0.01, help=f"seconds between the events of a stream of `{PACED}`"
    )
    parser.add_argument("--core", type=int, help="the one core to run on")
    arguments = parser.parse_args()
    if arguments.core is not None:
        os.sched_setaffinity(0, {arguments.core})
    uvloop.run(serve(arguments.port, events=arguments.events, interval=arguments.interval))


if __name__ == "__main__":
    main()
