"""Four timeouts, each of which says which it was and how long."""

from contextlib import ExitStack
from functools import partial

import pytest

from tests.fakes import faults
from tests.fakes.engine import Deaf
from tests.fakes.faults import Fault
from tests.fakes.vllm import VLLM
from tests.gateway.asking import Reply, ask, house
from tests.gateway.conftest import Serve
from tests.processes import eventually


def told(reply: Reply, which: str, limit: str) -> None:
    """The reply is the timeout of that name."""
    assert reply.error is not None
    assert reply.error["type"] == "timeout_error"
    assert which in reply.error["message"]
    assert f"{limit} s" in reply.error["message"]


def let_go(engine: VLLM) -> bool:
    """Whether the engine has seen every one of its clients go."""
    return all(request.left is not None for request in engine.asked)


@pytest.mark.parametrize("count", [1, 2])
def test_connect(gateway: Serve, stream: bool, count: int) -> None:
    with ExitStack() as stack:
        deaf = [stack.enter_context(Deaf()) for _ in range(count)]
        reply = ask(gateway(house(*deaf, timeouts={"connect": 0.3})), stream=stream)
    assert reply.status == 504
    told(reply, "connect", "0.3")


def test_a_replica_that_cannot_be_reached_is_made_good_by_another(
    gateway: Serve, engine: VLLM, stream: bool
) -> None:
    with Deaf() as deaf:
        running = gateway(house(deaf, engine, timeouts={"connect": 1}))
        assert {ask(running, stream=stream).status for _ in range(4)} == {200}


@pytest.mark.parametrize("fault", [faults.silent(), faults.slow(head=60), faults.slow(first=60)])
def test_first_event(gateway: Serve, replicas: list[VLLM], stream: bool, fault: Fault) -> None:
    replicas[0].script.always(fault)
    reply = ask(gateway(house(*replicas, timeouts={"first_event": 0.4})), stream=stream)
    assert reply.status == 504
    told(reply, "first_event", "0.4")
    for engine in replicas:
        assert len(engine.asked) <= 1
        eventually(partial(let_go, engine), "the engine is let go")


def test_a_slow_first_event_within_the_limit_is_no_fault(gateway: Serve, engine: VLLM, stream: bool) -> None:
    engine.script.next(faults.slow(head=1.5, first=1.5))
    reply = ask(gateway(house(engine, timeouts={"first_event": 30, "idle": 1.3})), stream=stream)
    assert reply.text == "".join(engine.says)


def test_a_plain_reply_may_take_its_time_where_nothing_is_configured(gateway: Serve, engine: VLLM) -> None:
    engine.script.next(faults.slow(head=1.5))
    assert ask(gateway(house(engine, timeouts={"idle": 0.3}))).status == 200


def test_idle_in_a_stream(gateway: Serve, replicas: list[VLLM]) -> None:
    replicas[0].script.always(faults.cut(3, how="stall"))
    reply = ask(gateway(house(*replicas, timeouts={"idle": 0.4})), stream=True)
    assert reply.status == 200
    assert not reply.done
    told(reply, "idle", "0.4")
    assert sum(len(engine.asked) for engine in replicas) == 1


def test_idle_in_a_stream_that_crawls_is_not_reached(gateway: Serve, engine: VLLM) -> None:
    engine.script.next(faults.slow(gap=0.5))
    reply = ask(gateway(house(engine, timeouts={"idle": 3})), stream=True)
    assert reply.done


def test_idle_in_a_plain_reply(gateway: Serve, engine: VLLM) -> None:
    engine.script.always(Fault(edit=lambda parts: [parts[0][:40]], end="stall"))
    limits = {"first_event": 0.4, "idle": 0.4, "total": 30}
    reply = ask(gateway(house(engine, timeouts=limits)))
    assert reply.status == 504
    assert reply.error is not None
    assert reply.error["type"] == "timeout_error"


def test_total_of_a_plain_reply(gateway: Serve, replicas: list[VLLM]) -> None:
    replicas[0].script.always(faults.silent())
    reply = ask(gateway(house(*replicas, timeouts={"total": 1.5})))
    assert reply.status == 504
    told(reply, "total", "1.5")
    assert sum(len(engine.asked) for engine in replicas) == 1


def test_total_of_a_stream(gateway: Serve, engine: VLLM) -> None:
    engine.says = (" word",) * 1000
    engine.script.always(faults.slow(gap=0.1))
    reply = ask(gateway(house(engine, timeouts={"total": 3})), stream=True)
    assert reply.status == 200
    assert reply.text.startswith(" word")
    assert not reply.done
    told(reply, "total", "3")
