"""The halves of a load benchmark: the engine answers as one does, the client counts what comes back."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.fakes.chat import ChatServer, Cut, Fault, Reset, Status
from tests.fakes.scripted import Scripted
from tests.processes import environment, free_port

CLIENT = [sys.executable, "-m", "bench.load.client", "--seconds", "0.6", "--warm-up", "0.1"]
QUESTION = "公司按基本工资计算加班费，我能主张什么？"


@contextmanager
def engine(*options: str) -> Iterator[str]:
    """The URL of a running fake engine."""
    command = [sys.executable, "-m", "bench.load.engine", *options]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.terminate()
        assert process.wait(60) == 0


def load(url: str, *options: str, **variables: str) -> dict[str, Any]:
    done = subprocess.run(
        [*CLIENT, "--url", url, *options],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_the_engine_speaks_chat_completions() -> None:
    with engine("--events", "5") as url, httpx.Client(base_url=url, timeout=60) as client:
        assert client.get("/health").status_code == 200
        assert client.get("/v1/models").json()["data"][0]["id"] == "bench"
        body = {"model": "bench", "messages": [{"role": "user", "content": QUESTION}]}
        reply = client.post("/v1/chat/completions", json=body).json()
        assert reply["choices"][0]["finish_reason"] == "stop"
        assert reply["usage"]["completion_tokens"] == 64
        asked = {"stream": True, "stream_options": {"include_usage": True}}
        events = client.post("/v1/chat/completions", json=body | asked).text.split("\n\n")
        assert json.loads(events[-3].removeprefix("data: "))["usage"]["completion_tokens"] == 64
        stream = client.post("/v1/chat/completions", json=body | {"stream": True})
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = stream.text.split("\n\n")
        assert len(events) == 7
        assert events[-2:] == ["data: [DONE]", ""]
        assert json.loads(events[4].removeprefix("data: "))["choices"][0]["finish_reason"] == "stop"


def test_the_engine_paces_its_events() -> None:
    with engine("--events", "5", "--interval", "0.02") as url:
        figures = load(url, "--clients", "2", "--stream", "5", "--model", "bench-paced")
    assert figures["requests"] > 0
    assert figures["p50_ms"] >= 80
    assert figures["first_event_p50_ms"] < figures["p50_ms"]


@pytest.mark.parametrize("clients", ["1", "16"])
@pytest.mark.parametrize("stream", [[], ["--stream", "64"]])
def test_load_is_measured(clients: str, stream: list[str]) -> None:
    with engine() as url:
        figures = load(url, "--clients", clients, *stream)
    assert figures["errors"] == {}
    assert figures["answered"] >= figures["requests"] > 0
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]
    assert (figures["first_event_p50_ms"] is not None) is bool(stream)
    assert figures["cpu"] > 0


def test_a_stream_that_ends_early_is_an_error_and_no_figure() -> None:
    with engine("--events", "5") as url:
        figures = load(url, "--clients", "1", "--stream", "64")
    assert figures["requests"] == 0
    assert set(figures["errors"]) == {"cut"}


@pytest.mark.parametrize(
    ("fault", "kind"), [(Status(503), "http_503"), (Reset(), "disconnected"), (Cut(), "disconnected")]
)
def test_failures_are_counted_by_kind(fault: Fault, kind: str) -> None:
    with ChatServer(faults={QUESTION: [fault] * 100_000}) as server:
        figures = load(server.url, "--clients", "2")
    assert figures["requests"] == 0
    assert set(figures["errors"]) == {kind}


def test_the_client_sends_its_key() -> None:
    with ChatServer(key="sk-1") as server:
        assert load(server.url, "--clients", "1", PRAXIS_API_KEY="sk-1")["errors"] == {}
        assert set(load(server.url, "--clients", "1")["errors"]) == {"http_401"}


def test_nobody_listens() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = subprocess.run(
        [*CLIENT, "--url", url], env=environment(), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 3
    assert done.stderr.startswith(f"nobody listens at {url}")


def test_the_client_stops_when_enough_is_answered() -> None:
    with engine() as url:
        figures = load(url, "--clients", "4", "--requests", "50", "--seconds", "30")
    assert 50 <= figures["answered"] < 1000
    assert figures["took"] < 20


EVENT = b'data: {"choices":[]}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM = EVENT * 3 + b"data: [DONE]\n\n"


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def every(size: int, data: bytes) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize(
    "writes",
    [
        [HEAD + chunked(STREAM)],
        [HEAD, *every(1, chunked(EVENT, EVENT, EVENT, b"data: [DONE]\n\n"))],
        every(7, HEAD + chunked(STREAM)),
        [HEAD + chunked(*every(1, STREAM))],  # Every event, and the blank line that ends it, in pieces.
        [HEAD + chunked(STREAM)[:-2], b"\r\n"],
    ],
)
def test_a_whole_stream_is_one_however_it_is_cut(writes: list[bytes]) -> None:
    with Scripted(writes) as server:
        figures = load(server.url, "--clients", "1", "--stream", "3", "--requests", "3", "--seconds", "20")
    assert figures["errors"] == {}
    assert figures["answered"] >= 3


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (HEAD + chunked(STREAM[len(EVENT) :]), "cut"),
        (HEAD + chunked(EVENT * 4), "cut"),
        (HEAD + chunked(EVENT * 2, b'data: {"error": {}}\n\n'), "cut"),
        (HEAD + chunked(), "cut"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "no_stream"),
        (b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 2\r\n\r\n{}", "http_502"),
        (b"SMTP\r\n\r\n", "malformed"),
    ],
)
def test_a_broken_stream_is_none(reply: bytes, kind: str) -> None:
    with Scripted([reply]) as server:
        figures = load(server.url, "--clients", "1", "--stream", "3")
    assert figures["answered"] == 0
    assert set(figures["errors"]) == {kind}


def test_a_200_without_an_answer_is_an_error() -> None:
    with Scripted([b'HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{"error": {}}']) as server:
        figures = load(server.url, "--clients", "1")
    assert figures["answered"] == 0
    assert set(figures["errors"]) == {"no_answer"}
