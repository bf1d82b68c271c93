"""Health as traffic shows it: failures and stalls eject, one trial at a time brings back, the last one stays."""

import pytest

from gateway.backends import dialect
from gateway.backends.load import Load
from gateway.routing.backend import Backend
from gateway.routing.replica import Lease, Replica
from tests.fakes.clock import Clock

PATIENCE = 20.0


def everywhere(_: Replica) -> bool:
    """A model that every replica serves."""
    return True


@pytest.fixture
def clock() -> Clock:
    """The time of all replicas."""
    return Clock()


@pytest.fixture
def backend(clock: Clock) -> Backend:
    """Two replicas."""
    return Backend(
        "local", dialect("vllm"), [Replica(f"http://replica-{n}:8000", clock) for n in range(2)], clock=clock
    )


def chosen(backend: Backend, clock: Clock, times: int = 40) -> set[Replica]:
    """Which replicas are chosen."""
    return {replica for _ in range(times) if (replica := backend.pick((), everywhere))}


def fail(replica: Replica, times: int = 3) -> None:
    """So many requests go wrong there."""
    for _ in range(times):
        lease = Lease(replica)
        lease.failed()
        lease.release()


def succeed(replica: Replica) -> None:
    """One request goes well there."""
    lease = Lease(replica)
    lease.succeeded()
    lease.release()


def test_failures_in_a_row_eject_and_others_do_not(backend: Backend, clock: Clock) -> None:
    first, second = backend.replicas
    for _ in range(5):
        fail(first, 2)
        succeed(first)
    assert chosen(backend, clock) == {first, second}
    fail(first)
    assert chosen(backend, clock) == {second}
    assert backend.ejected(first)


def test_after_its_time_it_gets_one_trial_at_a_time_until_one_succeeds(
    backend: Backend, clock: Clock
) -> None:
    first, second = backend.replicas
    fail(first)
    clock.pass_(9.9)
    assert chosen(backend, clock) == {second}
    clock.pass_(0.2)
    assert chosen(backend, clock) == {first, second}
    trial = Lease(first)
    assert trial.trial
    assert chosen(backend, clock) == {second}
    clock.pass_(300)
    assert chosen(backend, clock) == {second}
    trial.succeeded()
    trial.release()
    assert chosen(backend, clock) == {first, second}
    assert not Lease(first).trial


def test_a_trial_that_fails_doubles_the_time_up_to_a_minute(backend: Backend, clock: Clock) -> None:
    first, second = backend.replicas
    fail(first)
    for seconds in (10, 20, 40, 60, 60):
        clock.pass_(seconds - 0.1)
        assert chosen(backend, clock) == {second}
        clock.pass_(0.2)
        assert first in chosen(backend, clock)
        fail(first, 1)
    clock.pass_(61)
    succeed(first)
    fail(first, 2)
    assert chosen(backend, clock) == {first, second}


def test_a_trial_whose_client_leaves_proves_nothing(backend: Backend, clock: Clock) -> None:
    first, second = backend.replicas
    fail(first)
    clock.pass_(11)
    Lease(first).release()
    assert chosen(backend, clock) == {first, second}
    assert Lease(first).trial


def test_what_began_before_the_ejection_says_nothing_of_the_time_after(
    backend: Backend, clock: Clock
) -> None:
    first, second = backend.replicas
    old = [Lease(first) for _ in range(6)]
    fail(first)
    old[0].succeeded()
    assert chosen(backend, clock) == {second}
    clock.pass_(11)
    succeed(first)
    for lease in old[1:]:
        lease.failed()
    for lease in old:
        lease.release()
    assert chosen(backend, clock) == {first, second}


def test_the_last_replica_is_never_ejected(backend: Backend, clock: Clock) -> None:
    first, second = backend.replicas
    second.refused()
    fail(first, 20)
    assert chosen(backend, clock) == {first}
    assert not backend.ejected(first)
    second.probe_answered()
    assert chosen(backend, clock) == {second}
    assert backend.ejected(first)
    fail(second, 20)
    assert chosen(backend, clock) == {first, second}
    assert not backend.ejected(first)
    succeed(second)
    assert chosen(backend, clock) == {second}


def test_a_failing_request_is_not_sent_to_the_same_replica_again(backend: Backend, clock: Clock) -> None:
    first, second = backend.replicas
    fail(first)
    fail(second)
    assert backend.pick((first,), everywhere) is second
    assert backend.pick((first, second), everywhere) is None


# Stalls


def wait(backend: Backend, clock: Clock, seconds: float) -> None:
    """Let time pass as the sweep sees it."""
    for _ in range(int(seconds)):
        clock.pass_(1)
        for replica in backend.replicas:
            replica.watch(clock.now, PATIENCE)


def test_silence_towards_several_ejects(backend: Backend, clock: Clock) -> None:
    first, second = backend.replicas
    leases = [Lease(first, stream=True), Lease(first, stream=True)]
    wait(backend, clock, 19)
    assert chosen(backend, clock) == {second}, "by load"
    assert not first.ejected
    wait(backend, clock, 3)
    assert first.ejected
    # As long as they hang there nobody needs to try.
    wait(backend, clock, 100)
    assert first.ejected
    for lease in leases:
        lease.failed()
        lease.release()
    wait(backend, clock, 11)
    assert Lease(first).trial


def test_a_slow_first_event_alone_does_not(backend: Backend, clock: Clock) -> None:
    first, _ = backend.replicas
    Lease(first, stream=True)
    wait(backend, clock, 300)
    assert not first.ejected


def test_a_byte_to_anybody_is_progress_and_brings_it_back(backend: Backend, clock: Clock) -> None:
    first, second = backend.replicas
    for _ in range(3):
        Lease(first, stream=True)
    for _ in range(10):
        wait(backend, clock, 15)
        first.pool.heard = clock.now
    assert not first.ejected
    wait(backend, clock, 25)
    assert first.ejected
    first.pool.heard = clock.now
    wait(backend, clock, 1)
    assert not first.ejected
    assert not Lease(first).trial
    assert second.in_flight == 0


def test_plain_replies_come_whole_so_their_silence_means_nothing(backend: Backend, clock: Clock) -> None:
    first, _ = backend.replicas
    for _ in range(8):
        Lease(first)
    wait(backend, clock, 300)
    assert not first.ejected


def test_an_engine_whose_counter_of_tokens_stands_still_stalls(backend: Backend, clock: Clock) -> None:
    first, _ = backend.replicas
    for _ in range(8):
        Lease(first)
    for tokens in range(1, 20):
        first.scraped(Load(running=8, waiting=0, tokens=tokens))
        wait(backend, clock, 15)
    assert not first.ejected
    for _ in range(3):
        first.scraped(Load(running=8, waiting=0, tokens=19))
        wait(backend, clock, 5)
    assert first.ejected
    first.scraped(Load(running=8, waiting=0, tokens=20))
    assert not first.ejected


def test_streams_whose_clients_read_nothing_are_owed_nothing(backend: Backend, clock: Clock) -> None:
    first, _ = backend.replicas
    leases = [Lease(first, stream=True) for _ in range(4)]
    for lease in leases[1:]:
        lease.paused(True)
    wait(backend, clock, 60)
    assert not first.ejected
    leases[1].paused(False)
    wait(backend, clock, 19)
    assert not first.ejected
    wait(backend, clock, 3)
    assert first.ejected


def test_the_last_replica_is_never_ejected_for_a_stall(backend: Backend, clock: Clock) -> None:
    first, second = backend.replicas
    second.refused()
    Lease(first, stream=True)
    Lease(first, stream=True)
    wait(backend, clock, 30)
    assert chosen(backend, clock) == {first}
    assert not backend.ejected(first)
