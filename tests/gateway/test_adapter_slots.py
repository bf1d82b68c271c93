"""More adapters than slots: a cold one is loaded once for all who ask, and the one that nobody has asked for the longest leaves."""

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes import faults
from tests.fakes.vllm import VLLM
from tests.gateway.asking import CHAT, MESSAGES, Asking, ask, house
from tests.gateway.conftest import Serve
from tests.gateway.test_adapters import held, load, peft, unload
from tests.gateway.test_live_adapters import loads, operate, staged
from tests.gateway.test_workers import serving
from tests.processes import Gateway, eventually, praxis

NAMES = ("civil", "labour", "family")
WAIT = 45.0


@pytest.fixture
def sources(standing_gateway: Gateway) -> Iterator[Path]:
    """A folder for each adapter, all different."""
    folder = standing_gateway.folder / "adapters"
    for rank, name in enumerate(NAMES, start=1):
        peft(folder / name, rank)
    yield folder
    shutil.rmtree(folder)


def slots(*engines: VLLM, wait: float = WAIT, **more: Any) -> str:
    """A models.yaml whose replicas hold one adapter each."""
    return house(*engines, backend={"adapter_slots": 1, "adapter_wait": wait} | more)


@pytest.fixture
def single(gateway: Serve, sources: Path, engine: VLLM) -> Iterator[Gateway]:
    """A gateway before one replica with one slot, and three adapters; what is loaded is unloaded after the test."""
    running = gateway(slots(engine))
    for name in NAMES:
        assert load(running, name, f"adapters/{name}").status_code == 200
    yield running
    gateway(slots(engine))
    for name in NAMES:
        unload(running, name)


def test_all_are_live_though_only_one_fits(single: Gateway, engine: VLLM, stream: bool) -> None:
    assert set(NAMES) <= set(single.models())
    for name in (*NAMES, *NAMES):
        reply = ask(single, stream=stream, model=name)
        assert reply.status == 200, reply.raw
        assert reply.headers["x-praxis-model"] == name
        assert held(engine) == [{name}], "never more than fit"
    assert ask(single, model="law").status == 200


def test_a_cold_one_is_loaded_once_however_many_ask(single: Gateway, engine: VLLM) -> None:
    engine.load_seconds = 0.5
    engine.seen.clear()
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda _: ask(single, model="civil"), range(32)))
    assert {reply.status for reply in replies} == {200}
    assert sum(loads(engine).values()) == 1


def test_many_ask_for_many_and_all_are_answered(single: Gateway, engine: VLLM) -> None:
    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(lambda number: ask(single, model=NAMES[number % 3]), range(48)))
    assert {reply.status for reply in replies} == {200}


def test_who_is_in_use_stays_and_who_waits_too_long_is_told(
    gateway: Serve, single: Gateway, engine: VLLM
) -> None:
    assert ask(single, model="civil").status == 200
    gateway(slots(engine, wait=0.5))
    gate = faults.Gate(2)
    engine.script.next(faults.held(gate))
    asked = len(engine.asked)
    asking = Asking(single, model="civil", stream=True)
    eventually(lambda: len(engine.asked) > asked, "the engine was asked")
    reply = ask(single, model="labour")
    assert reply.status == 503
    assert reply.error is not None
    assert (reply.error["type"], reply.error["code"]) == ("overloaded_error", "adapter_cold")
    assert "adapter_wait" in reply.error["message"]
    assert float(reply.headers["retry-after"]) > 0
    assert held(engine) == [{"civil"}]
    gate.release()
    assert asking.end().done
    eventually(lambda: ask(single, model="labour").status == 200, "there is room now")


def test_the_one_that_was_not_asked_for_the_longest_leaves(
    gateway: Serve, single: Gateway, engine: VLLM
) -> None:
    gateway(slots(engine, adapter_slots=2))
    for name in ("civil", "labour", "civil", "family"):
        assert ask(single, model=name).status == 200
    assert held(engine) == [{"civil", "family"}]


def test_requests_go_where_it_is_warm(gateway: Serve, single: Gateway, engine: VLLM, other: VLLM) -> None:
    assert ask(single, model="civil").status == 200
    gateway(slots(engine, other))
    eventually(lambda: held(other)[0], "the free slot is filled")
    warm = held(other)[0].pop()
    assert warm != "civil", "with what no other replica has"
    engine.seen.clear()
    other.seen.clear()
    for _ in range(8):
        assert ask(single, model="civil").status == 200
        assert ask(single, model=warm).status == 200
    assert {request.json["model"].partition("@")[0] for request in engine.asked} == {"civil"}
    assert {request.json["model"].partition("@")[0] for request in other.asked} == {warm}
    assert not loads(engine, other)


def test_an_engine_that_restarts_gets_what_was_asked_for_last(single: Gateway, engine: VLLM) -> None:
    assert ask(single, model="labour").status == 200
    engine.refuse()
    engine.loaded.clear()
    engine.listen()
    eventually(lambda: held(engine) == [{"labour"}], "it is loaded again")


def test_a_cold_one_that_the_engine_refuses_is_told_at_once(single: Gateway, engine: VLLM) -> None:
    engine.max_lora_rank = 0
    for name in NAMES:
        if name not in held(engine)[0]:
            reply = ask(single, model=name)
            assert reply.status == 502
            assert reply.error is not None
            assert "max_lora_rank" in reply.error["message"]
    assert ask(single, model="law").status == 200


def test_a_cold_revision_may_be_promoted_or_tried(single: Gateway, engine: VLLM, sources: Path) -> None:
    peft(sources / "civil-2", 9)
    second = staged(single, "civil-2", "civil")
    assert ask(single, model="labour").status == 200
    reply = operate(single, "PUT", "/civil/canary", revision=second, share=1.0)
    assert reply.status_code == 200, reply.text
    assert ask(single, model="labour").status == 200
    assert ask(single, model="civil").headers["x-praxis-revision"] == second


def test_a_client_that_leaves_while_it_waits_hinders_nobody(single: Gateway, engine: VLLM) -> None:
    engine.may_load.clear()
    cold = next(name for name in NAMES if name not in held(engine)[0])
    with pytest.raises(Exception, match="timed out"):
        ask_shortly(single, cold)
    engine.may_load.set()
    assert ask(single, model=cold).status == 200


@pytest.fixture
def waiting(own_gateway: Serve, tmp_path: Path, engine: VLLM) -> Callable[[float], tuple[Gateway, Asking]]:
    """A gateway of the test's own that drains for so long, and who waits there for a cold adapter."""

    def begin(drain: float) -> tuple[Gateway, Asking]:
        for rank, name in enumerate(NAMES[:2], start=1):
            peft(tmp_path / "adapters" / name, rank)
        backend = {"adapter_slots": 1, "adapter_wait": WAIT}
        running = own_gateway(house(engine, backend=backend, server={"drain": drain}))
        for name in NAMES[:2]:
            assert load(running, name, f"adapters/{name}").status_code == 200
        cold = next(name for name in NAMES[:2] if name not in held(engine)[0])
        engine.may_load.clear()
        engine.seen.clear()
        asking = Asking(running, model=cold)
        eventually(lambda: loads(engine), "it is being loaded")
        return running, asking

    return begin


def test_a_stop_answers_who_waits_for_a_cold_one(
    waiting: Callable[[float], tuple[Gateway, Asking]], engine: VLLM
) -> None:
    running, asking = waiting(60.0)
    running.process.terminate()
    eventually(lambda: running.get("/readyz").status_code == 503, "it is stopping")
    engine.may_load.set()
    reply = asking.end()
    assert reply.status == 200, reply.raw
    assert running.process.wait(60) == 0


def test_a_stop_tells_who_would_wait_for_too_long(
    waiting: Callable[[float], tuple[Gateway, Asking]], engine: VLLM
) -> None:
    running, asking = waiting(0.2)
    running.process.terminate()
    reply = asking.end()
    engine.may_load.set()
    assert reply.status == 503
    assert reply.error is not None
    assert "shutting down" in reply.error["message"]
    assert running.process.wait(60) == 0


def ask_shortly(running: Gateway, model: str) -> None:
    """Ask, and leave after a moment."""
    body = {"model": model, "messages": [{"role": "user", "content": "?"}]}
    running.post("/v1/chat/completions", json=body, timeout=0.2)


BAD = [
    ({"adapter_slots": 0}, "adapter_slots"),
    ({"adapter_wait": 5}, "add `adapter_slots"),
    ({"adapter_slots": 2, "adapter_wait": 0}, "adapter_wait"),
]


@pytest.mark.parametrize(("backend", "word"), BAD)
def test_what_makes_no_sense_in_the_file_is_refused(
    tmp_path: Path, backend: dict[str, Any], word: str
) -> None:
    (tmp_path / "models.yaml").write_text(house("http://127.0.0.1:9", backend=backend))
    done = praxis("config", "check", "models.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert word in done.stderr


def test_only_vllm_has_slots(tmp_path: Path) -> None:
    config = json.loads(house("http://127.0.0.1:9", kind="lightllm", backend={"adapter_slots": 2}))
    (tmp_path / "models.yaml").write_text(json.dumps(config))
    done = praxis("config", "check", "models.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "kind: vllm" in done.stderr


def test_two_workers_load_a_cold_one_once_and_share_the_slot(tmp_path: Path, engine: VLLM) -> None:
    for rank, name in enumerate(NAMES, start=1):
        peft(tmp_path / "adapters" / name, rank)
    with Gateway(tmp_path, slots(engine, wait=60.0), "--workers", "2") as running:
        eventually(lambda: serving(running) == 2, "both workers serve", within=60)
        for name in NAMES:
            assert load(running, name, f"adapters/{name}").status_code == 200
        engine.load_seconds = 0.3
        engine.seen.clear()

        def asked(name: str) -> int:
            with httpx.Client(timeout=120) as client:
                headers = {"authorization": f"Bearer {running.user_key}"}
                body = {"model": name, "messages": MESSAGES}
                return client.post(running.url + CHAT, json=body, headers=headers).status_code

        with ThreadPoolExecutor(12) as pool:
            assert set(pool.map(asked, ["civil"] * 36)) == {200}
            assert sum(loads(engine).values()) == 1
            engine.load_seconds = 0.0
            assert set(pool.map(asked, [NAMES[number % 3] for number in range(36)])) == {200}
