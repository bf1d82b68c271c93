"""One JSON line per request: who asked, who answered, how long it took, and nothing of what was said."""

import fcntl
import json
import os
import signal
import time
from itertools import islice
from pathlib import Path
from typing import Any

from tests.fakes import faults
from tests.fakes.vllm import VLLM
from tests.gateway.asking import ask, house, leaving, send
from tests.gateway.conftest import Serve
from tests.processes import Gateway, eventually

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def lines(running: Gateway) -> list[dict[str, Any]]:
    """The log's lines about requests."""
    whole, _, _ = running.log.read_text().rpartition("\n")
    parsed = [json.loads(line) for line in whole.splitlines()]
    return [each for each in parsed if each["logger"] == "praxis.gateway.request"]


def line(running: Gateway, **sought: Any) -> dict[str, Any]:
    """The line about the request with these facts."""

    def find() -> list[dict[str, Any]]:
        return [each for each in lines(running) if sought.items() <= each.items()]

    return dict(eventually(find, f"a line with {sought}", within=60)[0])


def test_a_line_tells_who_asked_who_answered_and_how_long_it_took(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    reply = ask(running, stream=True, headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    written = line(running, request_id=reply.headers["x-request-id"])
    assert written["level"] == "info"
    assert (written["method"], written["path"]) == ("POST", "/v1/chat/completions")
    assert written["key"].startswith("key_")
    assert written["tenant"] == "test-user"
    assert (written["model"], written["served_by"], written["backend"]) == ("law", "law", "local")
    assert written["replica"] == engine.url
    assert written["stream"] is True
    assert (written["outcome"], written["error"], written["attempts"]) == ("200", "", 1)
    assert 0 < written["overhead_ms"] <= written["first_event_ms"] <= written["total_ms"] < 10_000
    assert written["prompt_tokens"] > 0
    assert written["completion_tokens"] > 0
    assert written["trace_id"] == TRACE
    assert written["time"].startswith(time.strftime("%Y-%m-", time.gmtime()))


def test_every_end_has_its_line(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    ask(running, headers={"x-request-id": "unknown-model"}, model="nobody")
    refused = line(running, request_id="unknown-model")
    assert (refused["outcome"], refused["error"], refused["model"]) == ("404", "not_found_error", "")
    assert refused["overhead_ms"] is None
    send(running, b"{}", headers={"authorization": "Bearer sk-praxis-stranger", "x-request-id": "stranger"})
    stranger = line(running, request_id="stranger")
    assert (stranger["outcome"], stranger["key"], stranger["tenant"]) == ("401", None, None)
    engine.script.next(faults.cut(after=1))
    ask(running, stream=True, headers={"x-request-id": "cut-short"})
    assert line(running, request_id="cut-short")["outcome"] == "broken"
    engine.script.next(faults.slow(first=30))
    with leaving(running, request_id="gone-early", stream=True):
        eventually(lambda: len(engine.asked) == 2, "the engine has it")
    gone = line(running, request_id="gone-early")
    assert (gone["outcome"], gone["backend"]) == ("cancelled", "local")


def test_other_paths_are_logged_by_their_route(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    running.get("/v1/models/law", headers={"x-request-id": "a-card"})
    card = line(running, request_id="a-card")
    assert (card["method"], card["path"], card["outcome"]) == ("GET", "/v1/models/{name:path}", "200")
    assert card["tenant"] == "test-user"
    running.get("/secret/path", headers={"x-request-id": "nowhere"})
    nowhere = line(running, request_id="nowhere")
    assert (nowhere["path"], nowhere["outcome"]) == ("", "404")
    assert not [each for each in lines(running) if each["path"] in ("/metrics", "/readyz", "/healthz")]


def test_nothing_of_what_was_said_is_in_the_log(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    said = [{"role": "user", "content": "my-very-private-question"}]
    headers = {"x-request-id": "bad id\t{}", "x-secret": "my-header"}
    ask(running, messages=said, user="my-user", headers=headers)
    ask(running, messages=said, model="my-model", headers={"x-request-id": "last"})
    line(running, request_id="last")
    log = running.log.read_text()
    for secret in ("private", "my-", "bad id", running.user_key, running.admin_key):
        assert secret not in log


def test_what_is_gathered_is_written_at_the_end(own_gateway: Serve, engine: VLLM) -> None:
    running = own_gateway(house(engine))
    for number in range(5):
        ask(running, headers={"x-request-id": f"number-{number}"})
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(60) == 0
    assert [each["request_id"] for each in lines(running)] == [f"number-{n}" for n in range(5)]


def test_requests_do_not_wait_for_who_reads_the_log(tmp_path: Path, engine: VLLM) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    with Gateway(tmp_path, house(engine), stderr=writing) as running, os.fdopen(reading, "rb") as log:
        os.close(writing)
        for _ in range(60):  # more lines than this pipe holds
            assert ask(running).status == 200
        time.sleep(0.5)
        assert ask(running, headers={"x-request-id": "after-all"}).status == 200
        read = (json.loads(line) for line in log)
        requests = (each["request_id"] for each in read if each["message"] == "request")
        assert list(islice(requests, 61))[-1] == "after-all"
