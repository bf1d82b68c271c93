"""Which replica a request goes to: by load, by weight, by session, and by how each has fared."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.backends import dialect
from gateway.backends.load import Load
from gateway.routing.affinity import Affinity
from gateway.routing.backend import Backend
from gateway.routing.replica import Lease, Replica
from gateway.routing.ring import FACTOR, Ring
from tests.fakes.clock import Clock

Fleet = Callable[..., Backend]


def everywhere(_: Replica) -> bool:
    """A model that every replica serves."""
    return True


@pytest.fixture
def clock() -> Clock:
    """The time of all replicas."""
    return Clock()


def fleet(clock: Clock, *weights: float, affinity: Affinity = "none", limit: float = inf) -> Backend:
    """A backend with a replica of each of these weights; its dice always fall the same."""
    replicas = []
    for number, weight in enumerate(weights):
        replica = Replica(f"http://replica-{number}:8000", clock)
        replica.weight = weight
        replica.limit = limit
        replicas.append(replica)
    return Backend(
        "local", dialect("vllm"), replicas, affinity=affinity, clock=clock, draw=random.Random(7).random
    )


def pick(backend: Backend, clock: Clock, *tried: Replica, session: str | None = None) -> Replica:
    """The choice, which there must be."""
    chosen = backend.pick(tried, everywhere, session)
    assert chosen is not None
    return chosen


def begin(backend: Backend, clock: Clock, session: str | None = None) -> Lease:
    """One request more, in flight until its lease is released."""
    return Lease(pick(backend, clock, session=session))


def shares(backend: Backend, requests: int, clock: Clock) -> list[float]:
    """What part of so many requests each replica gets when none overlaps another."""
    count: Counter[str] = Counter(pick(backend, clock).url for _ in range(requests))
    return [count[replica.url] / requests for replica in backend.replicas]


def fail(replica: Replica) -> None:
    """Enough goes wrong there to take it out."""
    for _ in range(3):
        lease = Lease(replica)
        lease.failed()
        lease.release()


def in_flight(backend: Backend) -> list[int]:
    """What each replica has in flight."""
    return [replica.in_flight for replica in backend.replicas]


def test_the_less_loaded_is_chosen(clock: Clock) -> None:
    backend = fleet(clock, 1, 1)
    for _ in range(40):
        begin(backend, clock)
    assert in_flight(backend) == [20, 20]


def test_of_many_the_load_stays_even(clock: Clock) -> None:
    backend = fleet(clock, *[1] * 8)
    for _ in range(800):
        begin(backend, clock)
    assert max(in_flight(backend)) - min(in_flight(backend)) <= 6


def test_idle_replicas_share_by_weight(clock: Clock) -> None:
    assert shares(fleet(clock, 1, 1), 4000, clock) == pytest.approx([0.5, 0.5], abs=0.03)
    assert shares(fleet(clock, 1, 3), 4000, clock) == pytest.approx([0.25, 0.75], abs=0.03)


def test_busy_replicas_share_by_weight(clock: Clock) -> None:
    backend = fleet(clock, 1, 3)
    for _ in range(80):
        begin(backend, clock)
    assert in_flight(backend)[1] == pytest.approx(60, abs=3)


def test_weight_0_is_for_when_nothing_else_is_left(clock: Clock) -> None:
    backend = fleet(clock, 1, 0)
    first, spare = backend.replicas
    for _ in range(50):
        assert begin(backend, clock).replica is first
    assert pick(backend, clock, first) is spare
    first.refused()
    assert pick(backend, clock) is spare


def test_a_full_replica_is_passed_over_and_a_full_fleet_is_told_from_a_lost_one(clock: Clock) -> None:
    backend = fleet(clock, 1, 1, limit=2)
    leases = [begin(backend, clock) for _ in range(4)]
    assert in_flight(backend) == [2, 2]
    assert backend.pick((), everywhere) is None
    assert backend.full((), everywhere)
    leases[0].release()
    assert pick(backend, clock) is leases[0].replica
    for replica in backend.replicas:
        replica.refused()
    assert backend.pick((), everywhere) is None
    assert not backend.full((), everywhere)


def test_a_full_fleet_does_not_spill_to_its_spare(clock: Clock) -> None:
    backend = fleet(clock, 1, 0, limit=1)
    begin(backend, clock)
    assert backend.pick((), everywhere) is None
    assert backend.full((), everywhere)


def test_a_lease_is_given_back_once(clock: Clock) -> None:
    backend = fleet(clock, 1)
    lease = begin(backend, clock)
    lease.release()
    lease.release()
    assert in_flight(backend) == [0]


# What the engine says of its own load


def test_the_requests_of_others_count(clock: Clock) -> None:
    backend = fleet(clock, 1, 1)
    first, second = backend.replicas
    first.scraped(Load(running=10, waiting=0, tokens=1))
    for _ in range(10):
        assert begin(backend, clock).replica is second
    assert {pick(backend, clock).url for _ in range(50)} == {first.url, second.url}


def test_our_own_requests_are_not_counted_twice(clock: Clock) -> None:
    backend = fleet(clock, 1, 1)
    for _ in range(20):
        begin(backend, clock)
    for replica in backend.replicas:
        replica.scraped(Load(running=10, waiting=0, tokens=1))
        assert replica.load(clock.now) == 10


def test_what_waits_in_the_engine_weighs_more_than_what_runs(clock: Clock) -> None:
    backend = fleet(clock, 1, 1)
    strong, weak = backend.replicas
    leases = [Lease(strong) for _ in range(32)]
    leases += [Lease(weak) for _ in range(24)]
    strong.scraped(Load(running=32, waiting=0, tokens=1))
    weak.scraped(Load(running=8, waiting=16, tokens=1))
    assert pick(backend, clock) is strong
    assert len(leases) == 56


def test_a_queue_that_was_ours_is_gone_with_our_requests(clock: Clock) -> None:
    backend = fleet(clock, 1)
    (replica,) = backend.replicas
    leases = [Lease(replica) for _ in range(24)]
    replica.scraped(Load(running=8, waiting=16, tokens=1))
    assert replica.load(clock.now) == 24 + 16
    for lease in leases:
        lease.release()
    assert replica.load(clock.now) == 0


def test_an_old_number_counts_for_nothing(clock: Clock) -> None:
    backend = fleet(clock, 1)
    (replica,) = backend.replicas
    replica.scraped(Load(running=10, waiting=5, tokens=1))
    assert replica.load(clock.now) == 20
    clock.pass_(7)
    assert replica.load(clock.now) == 0


def test_a_stale_number_cannot_send_the_herd_one_way(clock: Clock) -> None:
    """All requests between two scrapes see the same numbers; our own count still spreads them."""
    backend = fleet(clock, 1, 1)
    first, second = backend.replicas
    first.scraped(Load(running=0, waiting=0, tokens=1))
    second.scraped(Load(running=6, waiting=0, tokens=1))
    for _ in range(100):
        begin(backend, clock)
    assert in_flight(backend) == [pytest.approx(53, abs=1), pytest.approx(47, abs=1)]


VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a{b}"} 3.0
vllm:num_requests_running{engine="1",model_name="a{b}"} 4.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="a{b}"} 2.0
vllm:num_requests_waiting{engine="1",model_name="a{b}"} 0.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="a{b}",reason="capacity"} 2.0
vllm:prompt_tokens_total{engine="0",model_name="a{b}"} 1e3
vllm:generation_tokens_total{engine="0",model_name="a{b}"} 500.0
vllm:generation_tokens_created{engine="0",model_name="a{b}"} 1.7e+09
"""


def test_each_dialect_reads_its_engine(clock: Clock) -> None:
    assert dialect("vllm").load(VLLM) == Load(running=7, waiting=2, tokens=1500)
    lightllm = 'lightllm_queue_size 5\nlightllm_num_running_reqs{model_name="q"} 2\n'
    assert dialect("lightllm").load(lightllm) == Load(running=2, waiting=5, tokens=0)
    assert dialect("openai").load(VLLM) is None
    for nonsense in ("", "<html>", "vllm:num_requests_running x\n"):
        assert dialect("vllm").load(nonsense) is None


# Sessions


def homes(backend: Backend, clock: Clock, sessions: Sequence[str]) -> dict[str, str]:
    """Where each session is at home while nothing is in flight."""
    return {session: pick(backend, clock, session=session).url for session in sessions}


SESSIONS = [f"session-{number}" for number in range(600)]


def test_a_session_stays_and_sessions_spread_by_weight(clock: Clock) -> None:
    backend = fleet(clock, 1, 1, 2, affinity="session")
    first = homes(backend, clock, SESSIONS)
    assert homes(backend, clock, SESSIONS) == first
    # Another process, another machine: the same home.
    assert homes(fleet(Clock(), 1, 1, 2, affinity="session"), clock, SESSIONS) == first
    count = Counter(first.values())
    assert [count[replica.url] / 600 for replica in backend.replicas] == pytest.approx(
        [0.25, 0.25, 0.5], abs=0.08
    )


@pytest.mark.parametrize("how", ["refused", "failing", "busy"])
def test_a_replica_that_is_out_moves_only_its_own_sessions(clock: Clock, how: str) -> None:
    backend = fleet(clock, 1, 1, 1, 1, affinity="session")
    before = homes(backend, clock, SESSIONS)
    gone = backend.replicas[1]
    if how == "refused":
        gone.refused()
    elif how == "busy":
        gone.busy(30)
    else:
        fail(gone)
    after = homes(backend, clock, SESSIONS)
    assert homes(backend, clock, SESSIONS) == after
    assert gone.url not in after.values()
    moved = {session for session in SESSIONS if before[session] != after[session]}
    assert moved == {session for session in SESSIONS if before[session] == gone.url}
    assert len({after[session] for session in moved}) == 3
    gone.probe_answered()
    clock.pass_(31)
    assert homes(backend, clock, SESSIONS) == before


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=2, max_size=9),
    data=st.data(),
    keys=st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=60, unique=True),
)
def test_a_node_that_leaves_the_ring_moves_only_its_own_keys(
    weights: list[float], data: st.DataObject, keys: list[str]
) -> None:
    nodes = [(f"http://node-{number}", weight, number) for number, weight in enumerate(weights)]
    leaver = data.draw(st.sampled_from(range(len(nodes))))
    whole, rest = Ring(nodes), Ring([node for node in nodes if node[2] != leaver])
    for key in keys:
        order = list(whole.order(key))
        assert sorted(order) == list(range(len(nodes)))
        assert [node for node in order if node != leaver] == list(rest.order(key))


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(2, 6),
    sessions=st.lists(st.sampled_from(["hot", "a", "b", "c", "d"]), min_size=1, max_size=120),
)
def test_no_session_loads_a_replica_beyond_its_bound(count: int, sessions: list[str]) -> None:
    clock = Clock()
    backend = fleet(clock, *[1] * count, affinity="session")
    for number, session in enumerate(sessions, 1):
        begin(backend, clock, session)
        assert max(in_flight(backend)) <= -(-FACTOR * number // count)


def test_a_hot_session_overflows_and_comes_home(clock: Clock) -> None:
    backend = fleet(clock, 1, 1, 1, affinity="session")
    home = pick(backend, clock, session="hot")
    leases = [begin(backend, clock, "hot") for _ in range(30)]
    assert max(in_flight(backend)) <= 13
    assert home.in_flight == max(in_flight(backend))
    for lease in leases:
        lease.release()
    assert pick(backend, clock, session="hot") is home


def test_a_queue_in_the_engine_loosens_a_session(clock: Clock) -> None:
    backend = fleet(clock, 1, 1, affinity="session")
    home = pick(backend, clock, session="one")
    home.scraped(Load(running=30, waiting=30, tokens=1))
    assert pick(backend, clock, session="one") is not home
    clock.pass_(10)
    assert pick(backend, clock, session="one") is home


def test_a_session_goes_to_a_spare_only_when_nothing_else_is_left(clock: Clock) -> None:
    backend = fleet(clock, 1, 0, affinity="session")
    first, spare = backend.replicas
    assert set(homes(backend, clock, SESSIONS[:50]).values()) == {first.url}
    first.refused()
    assert set(homes(backend, clock, SESSIONS[:50]).values()) == {spare.url}


def test_without_affinity_a_session_binds_nothing(clock: Clock) -> None:
    backend = fleet(clock, 1, 1)
    assert len({pick(backend, clock, session="one").url for _ in range(50)}) == 2


# Retry-After


def test_a_replica_that_asked_to_be_left_alone_is(clock: Clock) -> None:
    backend = fleet(clock, 1, 1)
    first, second = backend.replicas
    first.busy(5)
    assert {pick(backend, clock).url for _ in range(50)} == {second.url}
    clock.pass_(5.1)
    assert {pick(backend, clock).url for _ in range(50)} == {first.url, second.url}


def test_when_all_asked_so_the_soonest_is_asked_and_no_other_after_it(clock: Clock) -> None:
    backend = fleet(clock, 1, 1)
    first, second = backend.replicas
    first.busy(7)
    second.busy(3)
    assert pick(backend, clock) is second
    assert backend.pick((second,), everywhere) is None
    assert not backend.full((second,), everywhere)


def test_a_busy_replica_comes_after_a_spare_and_before_a_failing_one(clock: Clock) -> None:
    backend = fleet(clock, 1, 1, 0)
    busy, failing, spare = backend.replicas
    busy.busy(30)
    fail(failing)
    assert pick(backend, clock) is spare
    spare.refused()
    assert pick(backend, clock) is busy
    busy.refused()
    assert pick(backend, clock) is failing


def test_nobody_is_believed_for_longer_than_a_minute(clock: Clock) -> None:
    backend = fleet(clock, 1, 1)
    first, _ = backend.replicas
    first.busy(86_400)
    clock.pass_(61)
    assert first.url in {pick(backend, clock).url for _ in range(50)}
