"""A closed-loop load client over raw HTTP/1.1: each client sends its next request when the last is answered.

    python -m bench.load.client --url http://127.0.0.1:8080 --clients 32 --seconds 3 [--stream 64] [--core 1]

Prints one JSON object. The key is read from PRAXIS_API_KEY. Every reply is checked: a stream that lacks events or
its `[DONE]`, or a 200 without an answer, is an error and in no figure.

Why not `wrk`: beside the same engine on the same core this client costs 14 µs a JSON request where `wrk` costs 12,
and 250 µs a stream of 64 events where `wrk` costs 230; most of both is the kernel's, and of the engine beside them
more still. For that `wrk` sees neither first events nor gaps, cannot tell a cut stream from a whole one, and needs
a package. The client tells its own share of its core, so that it can be seen where the load, and not the
server, set the figure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from urllib.parse import urlsplit

import uvloop

from bench.load.connections import Client, JsonClient, StreamClient
from bench.load.tally import Figures, Tally

NOBODY_LISTENS = 3
"""Exit code where no connection can be made."""

_GRACE = 5.0
"""Seconds after the end in which requests under way may still be answered; they are not counted."""

_RECONNECT = 0.01
"""Seconds before a client whose connection ended connects again, so that a dead server is not stormed."""

_SENTENCE = "公司按基本工资计算加班费，我能主张什么？"


@dataclass(frozen=True, slots=True)
class Shot:
    """What is sent, over and over. `events` is how many events a whole stream has; 0 asks for JSON."""

    model: str
    key: str | None
    events: int = 0
    padding: int = 0

    def request(self, host: str) -> bytes:
        """The bytes of the request; about `padding` bytes of text are added to its question."""
        line = _SENTENCE + "\n"
        question = _SENTENCE + line * (self.padding // len(line.encode()))
        body: dict[str, object] = {
            "model": self.model,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": 64,
        }
        if self.events:
            body["stream"] = True
        payload = json.dumps(body, ensure_ascii=False).encode()
        head = [
            "POST /v1/chat/completions HTTP/1.1",
            f"host: {host}",
            "content-type: application/json",
            "accept: application/json",
            f"content-length: {len(payload)}",
        ]
        if self.key:
            head.append(f"authorization: Bearer {self.key}")
        return "\r\n".join([*head, "", ""]).encode() + payload


class Load:
    """Clients spread evenly over `urls`, each asking `shot` again and again."""

    def __init__(self, urls: Sequence[str], shot: Shot, clients: int, requests: int | None = None) -> None:
        self._places = [urlsplit(urls[number % len(urls)]) for number in range(clients)]
        self._shot = shot
        self._tally = Tally(requests)
        self._open: set[Client] = set()
        self._ending = asyncio.Event()

    async def run(self, seconds: float, warm_up: float) -> Figures:
        """Load for `warm_up` and then `seconds`, of which only the latter counts, or until `requests` have ended.

        Raises OSError when nobody listens.
        """
        keepers = [asyncio.create_task(self._keep(number)) for number in range(len(self._places))]
        complete = asyncio.create_task(self._tally.complete.wait())
        start = time.perf_counter()
        try:
            await self._while_kept([*keepers, complete], warm_up)
            self._tally.clear()
            began, cpu = time.perf_counter(), time.process_time()
            await self._while_kept([*keepers, complete], seconds)
            counted, cpu = time.perf_counter() - began, time.process_time() - cpu
        finally:
            complete.cancel()
            self._ending.set()
            for client in list(self._open):
                client.stop()
            await asyncio.wait(keepers, timeout=_GRACE)
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, complete, return_exceptions=True)
        return self._tally.figures(seconds=counted, cpu=cpu, took=time.perf_counter() - start)

    @staticmethod
    async def _while_kept(tasks: Sequence[asyncio.Task[object]], seconds: float) -> None:
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def _keep(self, number: int) -> None:
        """Keep one client connected."""
        loop = asyncio.get_running_loop()
        place = self._places[number]
        host, port = place.hostname or "", place.port or 80
        request = self._shot.request(place.netloc)
        while not self._ending.is_set():
            lost = asyncio.Event()
            client = self._client(request, lost.set)
            await loop.create_connection(partial(_same, client), host, port)
            if self._ending.is_set():
                client.stop()
            self._open.add(client)
            await lost.wait()
            self._open.discard(client)
            await asyncio.sleep(_RECONNECT)

    def _client(self, request: bytes, lost: Callable[[], None]) -> Client:
        if self._shot.events:
            return StreamClient(request, self._shot.events, self._tally, lost)
        return JsonClient(request, self._tally, lost)


def _same(client: Client) -> Client:
    return client


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.load.client", description="A closed-loop load client."
    )
    parser.add_argument("--url", action="append", required=True, help="repeat to spread clients over several")
    parser.add_argument("--model", default="bench")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--requests", type=int, help="end as soon as this many are answered or have failed")
    parser.add_argument("--warm-up", type=float, default=0.3)
    parser.add_argument(
        "--stream", type=int, default=0, metavar="EVENTS", help="ask for streams of this many events"
    )
    parser.add_argument("--padding", type=int, default=0, help="bytes added to every question")
    parser.add_argument("--core", type=int, help="the one core to run on")
    arguments = parser.parse_args()
    if arguments.core is not None:
        os.sched_setaffinity(0, {arguments.core})
    shot = Shot(arguments.model, os.environ.get("PRAXIS_API_KEY"), arguments.stream, arguments.padding)

    async def measure() -> Figures:
        load = Load(arguments.url, shot, arguments.clients, arguments.requests)
        return await load.run(arguments.seconds, arguments.warm_up)

    try:
        figures = uvloop.run(measure())
    except OSError as error:
        sys.stderr.write(f"nobody listens at {' or '.join(arguments.url)}: {error}\n")
        raise SystemExit(NOBODY_LISTENS) from None
    os.write(1, json.dumps(asdict(figures)).encode() + b"\n")


if __name__ == "__main__":
    main()
