"""`praxis bench`: the load client counts what comes back, the gateway benchmark runs, results are compared."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.chat import ChatServer, Cut, Fault, Reset, Status
from tests.processes import environment, free_port, praxis

CLIENT = [sys.executable, "-m", "bench.load.client", "--seconds", "0.3", "--warm-up", "0.1"]
QUESTION = "公司按基本工资计算加班费，我能主张什么？"


@contextmanager
def engine(*options: str) -> Iterator[str]:
    """The URL of a running fake engine."""
    command = [sys.executable, "-m", "bench.load.engine", *options]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.terminate()
        assert process.wait(20) == 0


def load(url: str, *options: str, **variables: str) -> dict[str, Any]:
    done = subprocess.run(
        [*CLIENT, "--url", url, *options],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_the_engine_speaks_chat_completions() -> None:
    with engine("--events", "5") as url, httpx.Client(base_url=url) as client:
        assert client.get("/health").status_code == 200
        assert client.get("/v1/models").json()["data"][0]["id"] == "bench"
        body = {"model": "bench", "messages": [{"role": "user", "content": QUESTION}]}
        reply = client.post("/v1/chat/completions", json=body).json()
        assert reply["choices"][0]["finish_reason"] == "stop"
        assert reply["usage"]["completion_tokens"] == 64
        stream = client.post("/v1/chat/completions", json=body | {"stream": True})
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = stream.text.split("\n\n")
        assert len(events) == 7
        assert events[-2:] == ["data: [DONE]", ""]
        assert json.loads(events[4].removeprefix("data: "))["choices"][0]["finish_reason"] == "stop"


def test_the_engine_paces_its_events() -> None:
    with engine("--events", "5", "--interval", "0.02") as url:
        figures = load(url, "--clients", "2", "--stream", "5")
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
        [*CLIENT, "--url", url], env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"nobody listens at {url}")


def test_gateway_benchmark(tmp_path: Path) -> None:
    done = praxis(
        "bench",
        "gateway",
        "--seconds",
        "0.3",
        "--rounds",
        "1",
        "--clients",
        "1,8",
        "--json",
        "r.json",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "r.json").read_text())
    assert [(load["load"], load["clients"]) for load in result["loads"]] == [
        ("json", 1),
        ("json", 8),
        ("sse", 1),
        ("sse", 8),
    ]
    for each in result["loads"]:
        assert each["gateway"]["errors"] == {}
        assert each["gateway"]["requests"][0] > 0
        assert each["ratio"][0] > 0
        assert each["gateway"]["gateway_cpu_us"][0] > 0
    assert result["memory_mib"]["highest"] >= result["memory_mib"]["idle"] > 10
    assert result["machine"]["pinned"] is (len(os.sched_getaffinity(0)) > 1)
    assert "Memory of the gateway" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.json"]
    assert praxis("bench", "compare", "r.json", "r.json", cwd=tmp_path).returncode == 0


def result(ratio: list[float], *, cpu: float = 50.0, memory: float = 60.0, errors: int = 0) -> str:
    gateway = {"gateway_cpu_us": [cpu] * len(ratio), "errors": {"http_502": errors} if errors else {}}
    loads = [{"load": "json", "clients": 32, "ratio": ratio, "gateway": gateway}]
    return json.dumps({"kind": "gateway", "loads": loads, "memory_mib": {"idle": 40.0, "highest": memory}})


@pytest.mark.parametrize(
    ("later", "code"),
    [
        (result([0.50, 0.51, 0.52]), 0),
        (result([0.80, 0.81, 0.82]), 0),
        (result([0.30, 0.31, 0.51]), 0),  # A round is as good as before: noise.
        (result([0.49, 0.49, 0.49]), 0),  # Worse in every round, but within the tolerance.
        (result([0.40, 0.41, 0.42]), 1),
        (result([0.50, 0.51, 0.52], cpu=60.0), 1),
        (result([0.50, 0.51, 0.52], memory=90.0), 1),
        (result([0.50, 0.51, 0.52], errors=1), 1),
    ],
)
def test_compare_fails_on_what_is_worse_beyond_noise(tmp_path: Path, later: str, code: int) -> None:
    (tmp_path / "a.json").write_text(result([0.50, 0.51, 0.52]))
    (tmp_path / "b.json").write_text(later)
    done = praxis("bench", "compare", "a.json", "b.json", cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert ("Worse beyond noise" in done.stderr) is bool(code)


def test_results_that_cannot_be_compared(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(result([0.5]))
    (tmp_path / "b.json").write_text(result([0.5]).replace("32", "64"))
    (tmp_path / "c.json").write_text("{}")
    for other in ("b.json", "c.json", "gone.json"):
        done = praxis("bench", "compare", "a.json", other, cwd=tmp_path)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert praxis("bench", "gateway", "--clients", "many", cwd=tmp_path).returncode == 2
