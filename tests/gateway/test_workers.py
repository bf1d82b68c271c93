"""`--workers 2`: two processes behave as one gateway, and outlive each other."""

import json
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from gateway.place import Place
from tests.fakes import faults
from tests.fakes.vllm import VLLM
from tests.gateway.asking import CHAT, MESSAGES, Reply, ask, house
from tests.gateway.test_adapters import held, load, peft
from tests.processes import Gateway, eventually, free_port, gone, praxis

BODY = {"model": "law", "messages": MESSAGES}

AGREED = 30.0
"""Two seconds is what Praxis promises; a test machine may be busy with other things."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of two workers, for all tests that leave both alive."""
    monkeypatch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("pair")
    peft(folder / "adapters" / "medical")
    monkeypatch.setenv("FILED_KEY_FILE", str(folder / "engine-key"))
    with Gateway(folder, house("http://127.0.0.1:9"), "--workers", "2") as running:
        monkeypatch.undo()
        eventually(lambda: serving(running) == 2, "both workers serve", within=60)
        yield running


@pytest.fixture
def running(pair: Gateway, engine: VLLM) -> Gateway:
    """The pair before one engine."""
    pair.configure(house(engine))
    for worker in workers(pair):
        with only(pair, worker):
            eventually(lambda: asked(pair) == 200, "the worker has the engine")
    return pair


@pytest.fixture
def filed(running: Gateway, engine: VLLM) -> Gateway:
    """The pair before one engine whose key stands in a file; both workers send it."""
    change_key(running, engine, "old-key")
    config = json.loads(house(engine))
    config["backends"]["local"]["api_key_env"] = "FILED_KEY"
    running.configure(json.dumps(config))
    everywhere(running, lambda: asked(running) == 200, "the old key is used", time.monotonic())
    return running


def change_key(running: Gateway, engine: VLLM, key: str) -> None:
    """The engine wants another key, and the file holds it."""
    engine.api_key = key
    (running.folder / "engine-key").write_text(key)


def workers(running: Gateway) -> list[psutil.Process]:
    """The workers, oldest first."""
    children = psutil.Process(running.process.pid).children()
    return sorted(children, key=lambda each: each.create_time())


def serving(running: Gateway) -> float:
    """How many workers answer."""
    return running.metric("praxis_worker_up")


@contextmanager
def only(running: Gateway, worker: psutil.Process) -> Iterator[None]:
    """Within the block only this worker runs, so that it takes every new connection."""
    others = [each for each in workers(running) if each.pid != worker.pid]
    eventually(lambda: stopped(running, others), "the others hold nothing that it needs")
    running.hang_up()
    try:
        yield
    finally:
        for each in others:
            each.resume()
        running.hang_up()


def stopped(running: Gateway, others: list[psutil.Process]) -> bool:
    """Stop them, unless one would be stopped in the middle of a write, which would keep everybody else from writing."""
    for each in others:
        each.suspend()
    state = sqlite3.connect(running.folder / ".praxis" / "state.db", timeout=0, isolation_level=None)
    try:
        state.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        for each in others:
            each.resume()
        return False
    finally:
        state.close()
    return True


def asked(running: Gateway, model: str = "law", key: str = "") -> int:
    """The status of a chat."""
    return running.post(CHAT, key=key, json={**BODY, "model": model}).status_code


def everywhere(running: Gateway, holds: Callable[[], bool], what: str, began: float) -> None:
    """Each worker alone comes to say so, soon after `began`."""
    for worker in workers(running):
        with only(running, worker):
            left = max(0.5, began + AGREED - time.monotonic())
            eventually(holds, f"{what} (worker {worker.pid})", within=left)


def test_a_reload_at_one_worker_reaches_the_other(running: Gateway, engine: VLLM) -> None:
    first, _ = workers(running)
    config = json.loads(house(engine))
    config["models"] = {"pharmacy": {"backend": "local", "upstream": "qwen"}}
    with only(running, first):
        running.write(json.dumps(config))
        assert running.reload().status_code == 200
    began = time.monotonic()
    everywhere(running, lambda: asked(running, "pharmacy") == 200, "the new model answers", began)
    everywhere(running, lambda: asked(running, "law") == 404, "the old model is gone", began)


def test_a_reload_of_what_no_file_shows_reaches_the_other(filed: Gateway, engine: VLLM) -> None:
    """A secret's file has changed: nothing tells the workers but the announcement."""
    first, _ = workers(filed)
    change_key(filed, engine, "new-key")
    with only(filed, first):
        assert filed.reload().status_code == 200
        assert asked(filed) == 200
    everywhere(filed, lambda: asked(filed) == 200, "the new key is used", time.monotonic())


def test_a_key_revoked_at_one_worker_is_refused_by_the_other(running: Gateway) -> None:
    first, _ = workers(running)
    principal, secret = running.keys.create("leaver")
    everywhere(running, lambda: asked(running, key=secret) == 200, "the key works", time.monotonic())
    with only(running, first):
        gone = running.request("DELETE", f"/admin/v1/keys/{principal.key_id}", key=running.admin_key)
        assert gone.status_code == 200
        assert asked(running, key=secret) == 401
    everywhere(running, lambda: asked(running, key=secret) == 401, "it is refused", time.monotonic())


def test_an_adapter_loaded_at_one_worker_answers_at_the_other_and_goes_from_both(
    running: Gateway, engine: VLLM
) -> None:
    first, second = workers(running)
    with only(running, first):
        assert load(running, "medical", "adapters/medical").status_code == 200
        assert ask(running, model="medical").status == 200
    everywhere(running, lambda: asked(running, "medical") == 200, "it answers", time.monotonic())
    # Neither takes it for a stranger's, however often they look.
    time.sleep(2.5)
    assert held(engine) == [{"medical"}]
    with only(running, second):
        gone = running.request("DELETE", "/admin/v1/adapters/medical", key=running.admin_key)
        assert gone.status_code == 200, gone.text
    everywhere(running, lambda: asked(running, "medical") == 404, "it is gone", time.monotonic())
    assert held(engine) == [set()]


def test_metrics_tell_of_all_workers_whoever_is_asked(running: Gateway) -> None:
    def told() -> str:
        """What both say: a worker that is slow to answer is left out."""
        text = running.get("/metrics").text
        return text if text.count(" 1.0\n", text.index("praxis_worker_up{")) == 2 else ""

    def counted(text: str) -> float:
        samples = (line for line in text.splitlines() if line.startswith("praxis_requests_total{"))
        return sum(float(each.rpartition(" ")[2]) for each in samples)

    before = counted(eventually(told, "both tell"))
    for worker in workers(running):
        with only(running, worker):
            assert asked(running) == 200
    text = eventually(told, "both tell")
    assert counted(text) == before + 2
    for worker in ("0", "1"):
        assert f'praxis_requests_total{{worker="{worker}",model="law",' in text
        assert f'praxis_worker_up{{worker="{worker}"}} 1.0' in text
    families = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(families) == len(set(families))


def test_a_worker_that_hangs_is_left_out_of_the_metrics(running: Gateway) -> None:
    first, _ = workers(running)
    with only(running, first):
        text = running.get("/metrics").text
    assert text.count("praxis_worker_up{") == 2
    assert " 0.0\n" in text[text.index("praxis_worker_up{") :]
    eventually(lambda: serving(running) == 2, "both answer")


def test_sighup_reaches_both(filed: Gateway, engine: VLLM) -> None:
    change_key(filed, engine, "new-key")
    filed.process.send_signal(signal.SIGHUP)
    everywhere(filed, lambda: asked(filed) == 200, "the new key is used", time.monotonic())


def test_a_killed_worker_is_missed_by_nobody_and_replaced(running: Gateway) -> None:
    before = workers(running)
    before[0].kill()
    running.hang_up()
    statuses = []
    for _ in range(20):
        statuses.append(asked(running))
        running.hang_up()
    assert statuses == [200] * 20
    eventually(
        lambda: len(workers(running)) == 2 and before[0].pid not in [each.pid for each in workers(running)],
        "another takes its place",
    )
    eventually(lambda: serving(running) == 2, "it serves", within=60)
    assert "worker died" in running.log.read_text()


# Ends


@contextmanager
def own(folder: Path, config: str) -> Iterator[Gateway]:
    """Two workers of the test's own."""
    with Gateway(folder, config, "--workers", "2") as running:
        eventually(lambda: serving(running) == 2, "both workers serve", within=60)
        yield running


def test_a_stop_drains_both_workers_then_exits_0(tmp_path: Path, engine: VLLM) -> None:
    engine.says = (" word",) * 40
    engine.script.next(faults.slow(gap=0.1), faults.slow(gap=0.1))
    replies: list[Reply] = []
    with own(tmp_path, house(engine)) as running:
        both = workers(running)
        threads = []
        for number, worker in enumerate(both, 1):
            with only(running, worker):
                thread = threading.Thread(target=lambda: replies.append(streamed(running)))
                thread.start()
                threads.append(thread)
                eventually(lambda: len(engine.asked) == number, "the stream runs")  # noqa: B023
        running.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(60)
        assert running.process.wait(60) == 0
        assert [reply.text for reply in replies] == [" word" * 40] * 2
        assert all(reply.done for reply in replies)
        assert gone(both)


def streamed(running: Gateway) -> Reply:
    """A whole stream on a connection of its own."""
    headers = {"authorization": f"Bearer {running.user_key}"}
    reply = httpx.post(running.url + CHAT, json={**BODY, "stream": True}, headers=headers, timeout=60)
    return Reply(reply.status_code, reply.headers, reply.content)


def test_no_worker_outlives_a_killed_parent(tmp_path: Path, engine: VLLM) -> None:
    with own(tmp_path, house(engine)) as running:
        both = workers(running)
        folder = Place.parse(both[0].cmdline()[both[0].cmdline().index("--worker") + 1]).folder
        assert folder.is_dir()
        running.process.kill()
        running.process.wait(60)
        assert psutil.wait_procs(both, timeout=60)[1] == []
    assert not folder.exists()


def test_what_keeps_a_gateway_from_starting_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text("models:\n  law: {backend: nowhere, upstream: x}\n")
    ended = praxis("gateway", "--workers", "2", "--port", str(free_port()), cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.count("is not usable") == 1
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (tmp_path / "models.yaml").write_text(house("http://127.0.0.1:9"))
        port = taken.getsockname()[1]
        ended = praxis("gateway", "--workers", "2", "--port", str(port), cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.count("cannot listen") == 1
    assert praxis("gateway", "--workers", "0", cwd=tmp_path).returncode == 2
