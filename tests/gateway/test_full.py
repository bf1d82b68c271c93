"""When every replica is full: requests wait their turn, fairly between keys, and who cannot wait is told when to come back."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.fakes import faults
from tests.fakes.vllm import VLLM
from tests.gateway.asking import Asking, Reply, ask, house, leaving
from tests.gateway.conftest import Serve
from tests.processes import Gateway, eventually


def queued(running: Gateway) -> float:
    """How many requests wait."""
    return running.metric("praxis_queue_length")


@contextmanager
def full(running: Gateway, *engines: VLLM) -> Iterator[None]:
    """The one place of each engine is taken until the block ends, by clients that then leave; they share a script."""
    with ExitStack() as stack:
        for number in range(1, len(engines) + 1):
            engines[0].script.next(faults.silent())
            stack.enter_context(leaving(running))
            eventually(
                lambda: sum(len(engine.asked) for engine in engines) == number,  # noqa: B023
                "a place is taken",
            )
        yield


class Line:
    """Clients that wait, in the order in which they came."""

    def __init__(self, running: Gateway, stream: bool = False) -> None:
        self._running = running
        self._stream = stream
        self._keys: dict[str, str] = {}
        self.asking: list[Asking] = []

    def join(self, *names: str) -> list[Asking]:
        """One client for each name, `a1` with the key `a`, each in the queue before the next comes."""
        for name in names:
            before = self._state()
            headers = {"authorization": f"Bearer {self._key(name[0])}"}
            asking = Asking(self._running, stream=self._stream, headers=headers, user=name)
            self.asking.append(asking)
            eventually(
                lambda: self._state() != before,  # noqa: B023
                f"{name} waits or is sent away",
            )
        return self.asking[-len(names) :]

    def replies(self) -> list[Reply]:
        """Everybody's reply."""
        return [asking.end() for asking in self.asking]

    def _state(self) -> tuple[float, int]:
        return queued(self._running), sum(each.answered for each in self.asking)

    def _key(self, name: str) -> str:
        if name not in self._keys:
            keys = self._running.keys
            for known in keys.list():
                if known["name"] == f"full-{name}" and known["revoked_at"] is None:
                    keys.revoke(known["id"])
            self._keys[name] = keys.create(f"full-{name}")[1]
        return self._keys[name]


def names(engine: VLLM) -> list[str]:
    """Who reached the engine, in order; whoever took the place first has no name."""
    return [request.json["user"] for request in engine.asked if "user" in request.json]


def limits(size: int = 16, wait: float = 50, room: int = 1) -> dict[str, object]:
    """A backend's keys for this much room."""
    return {"max_in_flight": room, "queue": {"size": size, "wait": wait}}


def told(reply: Reply, status: int, code: str) -> None:
    """The reply sends its client away for a while."""
    assert reply.status == status
    assert reply.error is not None
    assert reply.error["type"] == {429: "rate_limit_error", 503: "overloaded_error"}[status]
    assert reply.error["code"] == code
    assert "`local`" in reply.error["message"]
    assert 1 <= int(reply.headers["retry-after"]) <= 60


def test_keys_take_turns(gateway: Serve, engine: VLLM, stream: bool) -> None:
    running = gateway(house(engine, backend=limits()))
    line = Line(running, stream)
    with full(running, engine):
        line.join("a1", "a2", "a3", "a4", "a5", "b1", "b2", "c1")
        assert queued(running) == 8
    assert {reply.status for reply in line.replies()} == {200}
    assert names(engine) == ["a1", "b1", "c1", "a2", "b2", "a3", "a4", "a5"]
    assert queued(running) == 0
    text = running.get("/metrics").text
    assert 'praxis_queue_seconds_count{backend="local"}' in text


def test_no_replica_ever_has_more_than_its_room(gateway: Serve, engine: VLLM, other: VLLM) -> None:
    engine.script.always(faults.slow(head=0.02))
    running = gateway(house(engine, other, backend=limits(size=64, room=2)))
    asking = [Asking(running) for _ in range(24)]
    most = 0.0
    while not all(each.answered for each in asking):
        most = max(most, running.metric("praxis_inflight_requests"))
    assert {each.end().status for each in asking} == {200}
    assert most <= 4
    assert len(engine.asked) + len(other.asked) == 24
    assert min(len(engine.asked), len(other.asked)) >= 3


def test_who_holds_the_queue_is_429_and_who_finds_no_place_is_503(
    gateway: Serve, engine: VLLM, stream: bool
) -> None:
    running = gateway(house(engine, backend=limits(size=2)))
    line = Line(running, stream)
    with full(running, engine):
        a1, a2, a3 = line.join("a1", "a2", "a3")
        told(a3.end(), 429, "queue_share_exceeded")
        (b1,) = line.join("b1")
        told(a2.end(), 429, "queue_share_exceeded")
        (c1,) = line.join("c1")
        told(c1.end(), 503, "backend_full")
        assert queued(running) == 2
    assert [a1.end().status, b1.end().status] == [200, 200]
    assert names(engine) == ["a1", "b1"]


def test_without_a_queue_it_is_503_at_once(gateway: Serve, engine: VLLM, stream: bool) -> None:
    running = gateway(house(engine, backend=limits(size=0)))
    with full(running, engine):
        reply = ask(running, stream=stream)
        told(reply, 503, "backend_full")
        assert reply.seconds < 20, "far less than a place in the queue would give it"
    eventually(running.idle, "the place is free again")
    assert ask(running, stream=stream).status == 200


def test_who_waited_too_long_is_503(gateway: Serve, engine: VLLM, stream: bool) -> None:
    running = gateway(house(engine, backend=limits(wait=0.4)))
    with full(running, engine):
        reply = ask(running, stream=stream)
        told(reply, 503, "queue_timeout")
        assert "0.4 s" in reply.error["message"] if reply.error else False
        assert queued(running) == 0
    assert len(engine.asked) == 1


def test_total_ends_the_wait_too(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine, backend=limits(), timeouts={"total": 0.6}))
    engine.script.always(faults.silent())
    with leaving(running):
        reply = ask(running)
    assert reply.status in (503, 504)
    eventually(lambda: queued(running) == 0, "nobody waits")


def test_a_client_that_leaves_the_queue_never_reaches_the_engine(
    gateway: Serve, engine: VLLM, stream: bool
) -> None:
    running = gateway(house(engine, backend=limits()))
    line = Line(running, stream)
    with full(running, engine):
        with leaving(running, stream=stream, user="gone"):
            eventually(lambda: queued(running) == 1, "it waits")
            line.join("a1")
        eventually(lambda: queued(running) == 1, "it is forgotten long before its time is over", within=20)
    assert line.replies()[0].status == 200
    assert names(engine) == ["a1"]


def test_more_room_lets_the_waiting_in(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine, backend=limits()))
    line = Line(running)
    with full(running, engine):
        (a1,) = line.join("a1")
        running.configure(house(engine, backend=limits(room=2)))
        assert a1.end().status == 200


def test_a_replica_added_lets_the_waiting_in_no_later_than_the_first(
    gateway: Serve, engine: VLLM, other: VLLM
) -> None:
    """Who waits keeps the replicas that it began with; who comes later takes the new one."""
    running = gateway(house(engine, backend=limits()))
    line = Line(running)
    with full(running, engine):
        line.join("a1")
        running.configure(house(engine, other, backend=limits()))
        assert ask(running, user="b1").status == 200
        assert names(other) == ["b1"]
        assert queued(running) == 1
    assert line.replies()[0].status == 200


def test_a_full_model_s_fallback_answers_who_may_not_wait(gateway: Serve, engine: VLLM, stream: bool) -> None:
    with VLLM("backup", says=("from", " the backup")) as backup:
        config = json.loads(house(engine, backend=limits(size=0)))
        config["backends"]["second"] = {"kind": "vllm", "replicas": [backup.url]}
        config["models"]["law"]["fallback"] = ["spare"]
        config["models"]["spare"] = {"backend": "second", "upstream": "backup"}
        running = gateway(json.dumps(config))
        with full(running, engine):
            assert ask(running, stream=stream).text == "from the backup"


def test_nobody_waits_for_an_engine_that_has_died(gateway: Serve, engine: VLLM, stream: bool) -> None:
    running = gateway(house(engine, backend=limits()))
    line = Line(running, stream)
    with full(running, engine):
        line.join("a1", "a2", "b1")
        engine.refuse()
        for reply in line.replies():
            assert reply.status == 503
            assert reply.error is not None
            assert "down" in reply.error["message"]
            assert int(reply.headers["retry-after"]) > 0
    assert queued(running) == 0


def test_a_failure_while_others_wait_is_made_good_before_their_turn(
    gateway: Serve, engine: VLLM, other: VLLM
) -> None:
    running = gateway(house(engine, other, backend=limits()))
    line = Line(running)
    with full(running, engine, other):
        line.join("a1", "a2", "a3")
        engine.script.next(faults.reset())
    assert {reply.status for reply in line.replies()} == {200}
    assert sorted(names(engine) + names(other)) in (["a1", "a1", "a2", "a3"], ["a1", "a2", "a2", "a3"])


@pytest.mark.parametrize("room", [None, 1])
def test_in_flight_and_queue_are_empty_after_a_storm_of_everything(
    gateway: Serve, engine: VLLM, other: VLLM, room: int | None
) -> None:
    backend = limits(size=8, wait=0.3) if room else {}
    running = gateway(house(engine, other, backend=backend, timeouts={"first_event": 0.3, "idle": 0.3}))
    trouble = [faults.reset(), faults.status(500), faults.silent(), faults.cut(2), faults.status(503)]
    engine.script.next(*trouble * 6)
    asking = [Asking(running, stream=number % 2 == 0) for number in range(40)]
    for _ in range(6):
        with leaving(running, stream=True):
            pass
    assert {each.end().status for each in asking} <= {200, 429, 502, 503, 504}
    eventually(lambda: running.idle() and queued(running) == 0, "nothing is left")
    engine.script.calm()
    eventually(lambda: ask(running).status == 200, "all is well")
