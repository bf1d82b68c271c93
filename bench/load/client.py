"""A closed-loop load client over raw HTTP/1.1: each client sends its next request when the last is answered.

    python -m bench.load.client --url http://127.0.0.1:8080 --clients 32 --seconds 3 [--stream] [--core 1]

Prints one JSON object. The key is read from PRAXIS_API_KEY. It knows only what it needs, so that it costs
little beside what it measures, and it shows its own share of a core: near 1 it is the bottleneck, and
the figures are lower bounds of what the server can do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import cast
from urllib.parse import urlsplit

import httptools
import uvloop

_GRACE = 5.0
"""Seconds after the end in which requests under way may still be answered; they are not counted."""

_RECONNECT = 0.01
"""Seconds before a client whose connection ended connects again, so that a dead server is not stormed."""


@dataclass(frozen=True, slots=True)
class Shot:
    """What is sent, over and over. `events` is how many events a whole stream has; 0 asks for JSON."""

    model: str
    key: str | None
    events: int = 0
    padding: int = 0

    def request(self, host: str) -> bytes:
        """The bytes of the request; `padding` bytes are added to its question."""
        question = "公司按基本工资计算加班费，我能主张什么？" + "x" * self.padding
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


@dataclass(frozen=True, slots=True)
class Figures:
    """One measurement. Times are in milliseconds; `cpu` is the client's own share of a core.

    `requests` were answered while it counted, `answered` also counts warm-up and end.
    """

    requests: int
    answered: int
    requests_per_second: float
    p50_ms: float | None
    p99_ms: float | None
    first_event_p50_ms: float | None
    first_event_p99_ms: float | None
    gap_p99_ms: float | None
    errors: dict[str, int]
    cpu: float


class Tally:
    """What the clients of one measurement saw, all together."""

    def __init__(self) -> None:
        self.latencies = array("d")
        self.first_events = array("d")
        self.gaps = array("d")
        self.errors: Counter[str] = Counter()
        self.answered = 0

    def figures(self, seconds: float, cpu: float) -> Figures:
        return Figures(
            requests=len(self.latencies),
            answered=self.answered,
            requests_per_second=len(self.latencies) / seconds,
            p50_ms=_percentile(self.latencies, 0.5),
            p99_ms=_percentile(self.latencies, 0.99),
            first_event_p50_ms=_percentile(self.first_events, 0.5),
            first_event_p99_ms=_percentile(self.first_events, 0.99),
            gap_p99_ms=_percentile(self.gaps, 0.99),
            errors=dict(self.errors),
            cpu=cpu / seconds,
        )


class Client(asyncio.Protocol):
    """One connection that keeps asking until it is told to stop; it connects anew after a failure."""

    def __init__(self, request: bytes, events: int, tally: Tally, lost: Callable[[], None]) -> None:
        self._request = request
        self._events = events
        self._tally = tally
        self._lost = lost
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._asking = False
        self._stopping = False
        self._sent = self._first = self._last = 0.0
        self._seen = 0
        self._tail = b""

    def stop(self) -> None:
        """Ask no more; what is under way may end."""
        self._stopping = True
        if not self._asking:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports have another parent
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if self._asking and not self._stopping:
            self._tally.errors["disconnected"] += 1
        self._asking = False
        self._lost()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._tally.errors["malformed"] += 1
            self._asking = False
            self._transport.close()

    def on_body(self, data: bytes) -> None:
        if not self._events:
            return
        now = time.perf_counter()
        if not self._seen:
            self._first = now
        elif not self._stopping:
            self._tally.gaps.append(now - self._last)
        self._last = now
        self._seen += data.count(b"\n\n")
        self._tail = data[-16:]

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self._asking = False
        status = self._parser.get_status_code()
        if status != 200:
            self._tally.errors[f"http_{status}"] += 1
        elif self._events and (self._seen != self._events + 1 or not self._tail.endswith(b"[DONE]\n\n")):
            self._tally.errors["cut"] += 1
        else:
            self._tally.answered += 1
            if not self._stopping:
                self._tally.latencies.append(now - self._sent)
                if self._events:
                    self._tally.first_events.append(self._first - self._sent)
        if self._stopping or not self._parser.should_keep_alive():
            self._transport.close()
        else:
            self._ask()

    def _ask(self) -> None:
        self._asking = True
        self._seen = 0
        self._tail = b""
        self._sent = time.perf_counter()
        self._transport.write(self._request)


class Load:
    """Clients spread evenly over `urls`, each asking `shot` again and again."""

    def __init__(self, urls: Sequence[str], shot: Shot, clients: int) -> None:
        self._places = [urlsplit(urls[number % len(urls)]) for number in range(clients)]
        self._shot = shot
        self._tally = Tally()
        self._open: set[Client] = set()
        self._ending = asyncio.Event()

    async def run(self, seconds: float, warm_up: float) -> Figures:
        """Load for `warm_up` and then `seconds`; only the latter counts. Raises OSError when nobody listens."""
        keepers = [asyncio.create_task(self._keep(number)) for number in range(len(self._places))]
        try:
            await self._while_kept(keepers, warm_up)
            self._clear()
            began, cpu = time.perf_counter(), time.process_time()
            await self._while_kept(keepers, seconds)
            took, cpu = time.perf_counter() - began, time.process_time() - cpu
        finally:
            self._ending.set()
            for client in list(self._open):
                client.stop()
            await asyncio.wait(keepers, timeout=_GRACE)
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
        return self._tally.figures(took, cpu)

    def _clear(self) -> None:
        for series in (self._tally.latencies, self._tally.first_events, self._tally.gaps):
            del series[:]
        self._tally.errors.clear()

    @staticmethod
    async def _while_kept(keepers: Sequence[asyncio.Task[None]], seconds: float) -> None:
        done, _ = await asyncio.wait(keepers, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for keeper in done:
            keeper.result()

    async def _keep(self, number: int) -> None:
        """Keep one client connected."""
        loop = asyncio.get_running_loop()
        place = self._places[number]
        host, port = place.hostname or "", place.port or 80
        request = self._shot.request(place.netloc)
        while not self._ending.is_set():
            lost = asyncio.Event()
            client = Client(request, self._shot.events, self._tally, lost.set)
            await loop.create_connection(partial(_same, client), host, port)
            self._open.add(client)
            await lost.wait()
            self._open.discard(client)
            await asyncio.sleep(_RECONNECT)


def _same(client: Client) -> Client:
    return client


def _percentile(series: array[float], share: float) -> float | None:
    """The nearest-rank percentile in milliseconds."""
    if not series:
        return None
    ordered = sorted(series)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.load.client", description="A closed-loop load client."
    )
    parser.add_argument("--url", action="append", required=True, help="repeat to spread clients over several")
    parser.add_argument("--model", default="bench")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3.0)
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
        return await Load(arguments.url, shot, arguments.clients).run(arguments.seconds, arguments.warm_up)

    try:
        figures = uvloop.run(measure())
    except OSError as error:
        raise SystemExit(f"nobody listens at {' or '.join(arguments.url)}: {error}") from None
    os.write(1, json.dumps(asdict(figures)).encode() + b"\n")


if __name__ == "__main__":
    main()
