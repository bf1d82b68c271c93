"""Several replicas as one: who gets what, what a sick one is spared, and what a storm is kept from."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.fakes import faults
from tests.fakes.vllm import VLLM
from tests.gateway.asking import Asking, ask, house, leaving
from tests.gateway.conftest import Serve
from tests.processes import Gateway, eventually

Fleet = Callable[[int], list[VLLM]]


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """Fake vLLMs, each with a script of its own."""
    with ExitStack() as stack:
        yield lambda count: [stack.enter_context(VLLM()) for _ in range(count)]


def where(engines: list[VLLM], user: str) -> list[int]:
    """Which engines the requests of `user` reached, by their number."""
    return [
        number
        for number, engine in enumerate(engines)
        for request in engine.asked
        if request.json.get("user") == user
    ]


def homes(running: Gateway, engines: list[VLLM], sessions: list[str], times: int = 1) -> dict[str, int]:
    """At which engine each session is at home; every one of its requests must have gone there."""
    for engine in engines:
        engine.seen.clear()
    for _ in range(times):
        for session in sessions:
            assert ask(running, headers={"x-session-id": session}, user=session).status == 200
    found = {session: set(where(engines, session)) for session in sessions}
    assert all(len(each) == 1 for each in found.values())
    return {session: each.pop() for session, each in found.items()}


def counted(engines: list[VLLM]) -> list[int]:
    """How many requests each engine has had."""
    return [len(engine.asked) for engine in engines]


SESSIONS = [f"session-{number}" for number in range(64)]


def test_a_session_stays_and_only_those_of_a_dead_replica_move(gateway: Serve, fleet: Fleet) -> None:
    engines = fleet(3)
    running = gateway(house(*engines))
    before = homes(running, engines, SESSIONS, times=2)
    assert set(before.values()) == {0, 1, 2}
    engines[1].refuse()
    after = homes(running, engines, SESSIONS, times=2)
    assert 1 not in after.values()
    assert {session for session in SESSIONS if before[session] != after[session]} == {
        session for session in SESSIONS if before[session] == 1
    }
    engines[1].listen()
    eventually(lambda: running.metric("praxis_replica_up") == 3, "it is back")
    assert homes(running, engines, SESSIONS) == before


def test_a_reload_moves_no_session(gateway: Serve, fleet: Fleet) -> None:
    engines = fleet(2)
    running = gateway(house(*engines))
    before = homes(running, engines, SESSIONS[:12])
    running.configure(house(*reversed(engines)))
    assert homes(running, engines, SESSIONS[:12]) == before


def test_a_prefix_stays_where_it_is_asked_for(gateway: Serve, fleet: Fleet) -> None:
    engines = fleet(2)
    running = gateway(house(*engines, backend={"affinity": "prefix"}))
    for number in range(40):
        first = [
            {"role": "system", "content": "You are a lawyer."},
            {"role": "user", "content": f"Case {number}"},
        ]
        later = [*first, {"role": "assistant", "content": "…"}, {"role": "user", "content": "And then?"}]
        for messages in (first, later, first):
            assert ask(running, messages=messages, user=str(number)).status == 200
    found = [set(where(engines, str(number))) for number in range(40)]
    assert all(len(each) == 1 for each in found)
    assert set.union(*found) == {0, 1}


def test_no_affinity_where_none_is_wanted(gateway: Serve, fleet: Fleet) -> None:
    engines = fleet(2)
    running = gateway(house(*engines, backend={"affinity": "none"}))
    for _ in range(40):
        ask(running, headers={"x-session-id": "one"})
    assert min(counted(engines)) >= 2


def test_weights_are_shares(gateway: Serve, fleet: Fleet) -> None:
    engines = fleet(3)
    config = json.loads(house(*engines))
    config["backends"]["local"]["replicas"] = [
        {"url": engines[0].url, "weight": 3},
        engines[1].url,
        {"url": engines[2].url, "weight": 0},
    ]
    running = gateway(json.dumps(config))
    for _ in range(240):
        assert ask(running).status == 200
    heavy, light, spare = counted(engines)
    assert spare == 0
    assert heavy + light == 240
    assert 140 <= heavy <= 220
    engines[0].refuse()
    engines[1].refuse()
    assert ask(running).status == 200
    assert len(engines[2].asked) == 1


def test_an_engine_s_own_queue_counts(gateway: Serve, fleet: Fleet) -> None:
    engines = fleet(2)
    engines[0].waiting = 40
    running = gateway(house(*engines))
    eventually(lambda: running.metric("praxis_engine_requests") == 40, "it is read")
    for _ in range(10):
        assert ask(running).status == 200
    assert counted(engines) == [0, 10]
    engines[0].waiting = 0
    eventually(lambda: running.metric("praxis_engine_requests") == 0, "it is read again")
    for _ in range(30):
        assert ask(running).status == 200
    assert min(counted(engines)) > 0


# Health


def test_one_trial_at_a_time_after_an_ejection_until_one_succeeds(gateway: Serve, fleet: Fleet) -> None:
    sick, well = fleet(2)
    sick.script.next(*[faults.status(500)] * 3)
    running = gateway(house(sick, well))
    eventually(
        lambda: ask(running).status == 200 and running.metric("praxis_replica_ejected"), "it is ejected"
    )
    assert running.metric("praxis_replica_breaker") == 2
    for _ in range(20):
        assert ask(running).status == 200
    assert len(sick.asked) == 3
    gate = faults.Gate()
    sick.script.next(faults.held(gate))
    eventually(lambda: running.metric("praxis_replica_breaker") == 1, "it may be tried", within=60)
    asking: list[Asking] = []
    while len(sick.asked) == 3:
        asking.append(Asking(running, stream=True))
        eventually(lambda: asking[-1].answered or len(sick.asked) == 4, "somebody is asked")
    others = [Asking(running, stream=True) for _ in range(12)]
    assert {each.end().status for each in others} == {200}
    assert len(sick.asked) == 4
    assert running.metric("praxis_replica_breaker") == 1
    gate.passing = 2
    eventually(lambda: running.metric("praxis_replica_breaker") == 0, "its first event is enough")
    assert not asking[-1].answered
    gate.release()
    assert {each.end().status for each in asking} == {200}
    eventually(lambda: ask(running).status == 200 and len(sick.asked) > 4, "it is one of two again")


def hang(running: Gateway, stack: ExitStack, *engines: VLLM) -> None:
    """Two streams at each engine, none of which answers, until the stack is left."""
    for number in range(1, 2 * len(engines) + 1):
        stack.enter_context(leaving(running, stream=True))
        eventually(lambda: sum(counted(list(engines))) == number, "the stream hangs")  # noqa: B023


def test_a_replica_that_hangs_is_passed_over_while_the_other_serves(gateway: Serve, fleet: Fleet) -> None:
    hung, well = fleet(2)
    for engine in (hung, well):
        engine.script.next(faults.silent(), faults.silent())
    running = gateway(house(hung, well, backend={"stalled_after": 3}))
    began = time.monotonic()
    with ExitStack() as stack:
        hang(running, stack, hung, well)
        # The other one speaks, if only to a third.
        well.says = (" word",) * 200
        well.script.always(faults.slow(gap=0.1))
        hung.script.always(faults.silent())
        speaking = [stack.enter_context(leaving(running, stream=True, user="x")) for _ in range(2)]
        eventually(lambda: running.metric("praxis_replica_ejected") == 1, "the silent one is ejected")
        before = len(hung.asked)
        for engine in (hung, well):
            engine.script.calm()
            engine.says = ("well",)
        for _ in range(10):
            assert ask(running, stream=True).text == "well"
        # After ten seconds it is tried again, which a busy machine may reach within these.
        assert len(hung.asked) == before or time.monotonic() - began > 10
        del speaking


def test_a_slow_first_event_alone_ejects_nobody(gateway: Serve, fleet: Fleet) -> None:
    engines = fleet(2)
    running = gateway(house(*engines, backend={"stalled_after": 0.3}))
    gate = faults.Gate(1)
    for engine in engines:
        engine.script.next(faults.held(gate))
    asking = [Asking(running, stream=True) for _ in range(2)]
    eventually(lambda: counted(engines) == [1, 1], "each has one")
    seen, until = 0.0, time.monotonic() + 1.5
    while time.monotonic() < until:
        seen = max(seen, running.metric("praxis_replica_breaker"))
    gate.release()
    assert [each.end().status for each in asking] == [200, 200]
    assert seen == 0


def test_the_last_replica_is_never_ejected(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine, backend={"stalled_after": 0.3}))
    engine.script.next(faults.silent(), faults.silent())
    with ExitStack() as stack:
        hang(running, stack, engine)
        eventually(lambda: running.metric("praxis_replica_breaker") == 2, "its silence is noticed")
        assert running.metric("praxis_replica_ejected") == 0
        for _ in range(3):
            assert ask(running).status == 200
        eventually(lambda: running.metric("praxis_replica_breaker") == 0, "it has spoken")


# Retries


def test_a_storm_of_failures_is_not_multiplied(gateway: Serve, fleet: Fleet, stream: bool) -> None:
    engines = fleet(2)
    for engine in engines:
        engine.script.always(faults.status(500))
    running = gateway(house(*engines))
    began = time.monotonic()
    replies = [ask(running, stream=stream) for _ in range(150)]
    seconds = time.monotonic() - began
    assert {reply.status for reply in replies} == {502}
    assert sum(counted(engines)) <= 150 + 30 + 20 + 2 * seconds + 5
    assert running.metric("praxis_retries_refused_total") > 0
    for engine in engines:
        engine.script.calm()
    assert ask(running, stream=stream).status == 200


def test_what_breaks_all_at_once_is_all_made_good(gateway: Serve, fleet: Fleet) -> None:
    dying, well = fleet(2)
    gate = faults.Gate(1)
    for engine in (dying, well):
        engine.says = (" word",) * 3
        engine.script.always(faults.held(gate))
    running = gateway(house(dying, well))
    asking = [Asking(running, stream=True) for _ in range(80)]
    eventually(lambda: sum(counted([dying, well])) >= 80, "all are asked")
    assert len(dying.asked) >= 20
    dying.refuse()
    gate.release()
    assert [each.end().status for each in asking] == [200] * 80


def test_a_replica_that_asks_to_be_left_alone_is(gateway: Serve, fleet: Fleet, stream: bool) -> None:
    busy, free = fleet(2)
    busy.script.always(faults.status(503, retry_after=30))
    running = gateway(house(busy, free))
    assert {ask(running, stream=stream).status for _ in range(30)} == {200}
    assert len(busy.asked) == 1


def test_when_all_ask_so_the_client_hears_the_soonest(gateway: Serve, fleet: Fleet, stream: bool) -> None:
    engines = fleet(2)
    for engine, wait in zip(engines, (9, 4), strict=True):
        engine.script.always(faults.status(503, retry_after=wait))
    running = gateway(house(*engines))
    for number in range(6):
        reply = ask(running, stream=stream)
        assert reply.status == 503
        if number == 0:
            assert reply.headers["retry-after"] == "4"
            assert counted(engines) == [1, 1]
    # Each further request asks but one.
    assert sum(counted(engines)) == 7


def test_backends_tell_the_operator_how_they_fare(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine, backend={"max_in_flight": 4}))
    eventually(lambda: running.metric("praxis_replica_up") == 1, "it is probed")
    ask(running)
    (backend,) = running.get("/admin/v1/backends", key=running.admin_key).json()["data"]
    assert (backend["name"], backend["queued"]) == ("local", 0)
    (replica,) = backend["replicas"]
    assert (replica["breaker"], replica["ejected"], replica["weight"]) == ("closed", False, 1)
    assert (replica["max_in_flight"], replica["trouble"]) == (4, None)


def trouble(running: Gateway) -> list[tuple[bool, str | None]]:
    """Of each replica, whether it is passed over and what is the matter with it, as the operator is told."""
    (backend,) = running.get("/admin/v1/backends", key=running.admin_key).json()["data"]
    return [(replica["ejected"], replica["trouble"]) for replica in backend["replicas"]]


def test_the_operator_is_told_why_a_replica_is_passed_over(gateway: Serve, fleet: Fleet) -> None:
    failing, well = fleet(2)
    failing.script.always(faults.status(500))
    running = gateway(house(failing, well))
    eventually(lambda: ask(running).status == 200 and trouble(running)[0] == (True, "failing"), "it is out")
    well.script.next(faults.status(503, retry_after=30))
    ask(running)
    assert trouble(running)[1] == (False, "busy")
    failing.refuse()
    eventually(lambda: trouble(running)[0][1] == "unreachable", "a probe missed it")


def test_the_operator_is_told_that_the_last_replica_is_silent(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine, backend={"stalled_after": 0.3}))
    engine.script.next(faults.silent(), faults.silent())
    with ExitStack() as stack:
        hang(running, stack, engine)
        eventually(lambda: trouble(running) == [(False, "stalled")], "its silence is noticed")
