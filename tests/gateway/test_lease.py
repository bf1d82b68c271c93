"""One gateway at a time changes what engines hold: many see what is missing, one does it, and its death stops nothing."""

import asyncio
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from gateway.adapters.lease import Lease, now
from praxis.config import load as read_config
from praxis.errors import Overloaded
from praxis.state import connect, writing
from tests.fakes import faults
from tests.fakes.vllm import VLLM
from tests.gateway.asking import CHAT, MESSAGES, house
from tests.gateway.test_adapters import load, peft, unload
from tests.gateway.test_live_adapters import answering, ended_before_its_unload, loads, revisions, traffic
from tests.gateway.test_workers import only, serving, workers
from tests.processes import Gateway, eventually


def test_only_one_holds_it(database: Engine) -> None:
    leases = [Lease(database, "adapters", f"gateway-{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(Lease.take, leases))
    assert sum(taken) == 1
    holder = leases[taken.index(True)]
    other = leases[taken.index(False)]
    assert holder.take(), "its holder may renew it"
    other.release()
    assert not other.take(), "nobody else can give it back"
    holder.release()
    assert other.take()


def test_it_is_taken_over_when_its_holder_dies(database: Engine) -> None:
    dead, alive = Lease(database, "adapters", "dead"), Lease(database, "adapters", "alive")
    assert dead.take()
    assert not alive.take()
    with writing(database).begin() as connection:
        late = {"now": now(connection)}
        connection.execute(sa.text("update lease set until = :now - 0.001"), late)
    assert alive.take()
    assert not dead.take()


def test_whoever_waits_gets_it_or_is_told(database: Engine) -> None:
    first, second = Lease(database, "adapters", "first"), Lease(database, "adapters", "second")
    order: list[str] = []

    async def wait() -> None:
        async with second.held(patience=20):
            order.append("second")

    async def both() -> None:
        async with first.held(patience=20):
            waiting = asyncio.create_task(wait())
            with pytest.raises(Overloaded):
                async with second.held(patience=0.2):
                    pass
            order.append("first")
        await waiting

    asyncio.run(both())
    assert order == ["first", "second"]


@pytest.fixture
def pair(tmp_path: Path, engine: VLLM, other: VLLM) -> Iterator[Gateway]:
    """A gateway of two workers before two engines, with two contents of an adapter."""
    peft(tmp_path / "adapters" / "a", 8)
    peft(tmp_path / "adapters" / "b", 4)
    with Gateway(tmp_path, house(engine, other), "--workers", "2") as running:
        eventually(lambda: serving(running) == 2, "both workers serve", within=60)
        yield running


def test_two_workers_load_what_an_engine_lost_once(pair: Gateway, engine: VLLM, other: VLLM) -> None:
    revision = load(pair, "medical", "adapters/a").json()["revision"]
    assert loads(engine, other) == {f"medical@{revision}": 2}
    for _ in range(3):
        engine.seen.clear()
        engine.loaded.clear()
        eventually(lambda: revisions(engine) == [{revision}], "it is loaded again")
        # A second load would be asked for within the next rounds of probes, and vLLM would refuse it.
        seen = len(engine.seen)
        eventually(lambda seen=seen: len(engine.seen) > seen + 12, "both workers have looked")  # type: ignore[misc]
        assert loads(engine) == {f"medical@{revision}": 1}


def test_nothing_fails_at_either_worker_while_a_name_turns(pair: Gateway, engine: VLLM, other: VLLM) -> None:
    load(pair, "medical", "adapters/a")
    with traffic(pair) as replies:
        for source in "bab":
            assert load(pair, "medical", f"adapters/{source}").status_code == 200
            seen = len(replies)
            eventually(lambda seen=seen: len(replies) > seen + 30, "traffic goes on", within=60)  # type: ignore[misc]
    assert {reply.status for reply in replies} == {200}
    assert not any(reply.torn or reply.error for reply in replies)
    assert len({reply.headers["x-praxis-revision"] for reply in replies}) == 2


def test_a_request_in_flight_at_another_worker_ends_before_the_unload(
    pair: Gateway, engine: VLLM, other: VLLM
) -> None:
    load(pair, "medical", "adapters/a")
    with ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(timeout=60)) for _ in range(2)]
        for worker, client in zip(workers(pair), clients, strict=True):
            with only(pair, worker):  # whose connection it keeps
                assert client.get(f"{pair.url}/healthz").status_code == 200
        engine.script.next(faults.slow(gap=0.6))
        here, there = clients
        body = {"model": "medical", "messages": MESSAGES, "stream": True}
        user, admin = ({"authorization": f"Bearer {key}"} for key in (pair.user_key, pair.admin_key))
        with here.stream("POST", pair.url + CHAT, json=body, headers=user) as reply:
            pieces = reply.iter_raw()
            said = next(pieces)
            rest = stack.enter_context(ThreadPoolExecutor(1)).submit(lambda: b"".join(pieces))
            gone = there.delete(f"{pair.url}/admin/v1/adapters/medical", headers=admin)
            assert gone.json() == {"name": "medical", "revision": None, "unloaded": True, "draining": False}
            assert (said + rest.result(timeout=60)).endswith(b"data: [DONE]\n\n")
    assert ended_before_its_unload(engine, other)
    assert engine.loaded == other.loaded == {}


def test_a_worker_that_dies_in_the_middle_of_a_change_hinders_nobody_for_long(
    pair: Gateway, engine: VLLM, other: VLLM
) -> None:
    engine.may_load.clear()
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(load, pair, "medical", "adapters/a")
        holder = eventually(lambda: _holder(pair), "one of the workers has the lease")
        number = int(holder.split("-")[1])
        victim = next(each for each in workers(pair) if f"{number}/2/" in " ".join(each.cmdline()))
        victim.send_signal(signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            hanging.result()
    engine.may_load.set()
    pair.hang_up()
    assert load(pair, "medical", "adapters/a").status_code == 200
    assert answering(pair)
    assert unload(pair, "medical").status_code == 200


def _holder(running: Gateway) -> str | None:
    engine = connect(read_config(running.file).state)
    try:
        with engine.connect() as connection:
            return connection.execute(sa.text("select holder from lease")).scalar()
    finally:
        engine.dispose()
