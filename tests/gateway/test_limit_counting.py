"""Counting limits: in memory as the `limits` library does it, and in Redis as in memory."""

import time
from collections.abc import Iterator
from unittest import mock

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from gateway.limits import Limits
from gateway.proxy.record import Ticket
from gateway.shared_limits import SETTLE, TAKE, read
from praxis.errors import RateLimited
from praxis.keys import Principal, Quota
from tests.services import Redis

# After any time at which this runs: the library has a thread that lets counts expire by the machine's own clock.
START = 4_102_444_800.0

Steps = list[tuple[float, int]]
steps = st.lists(
    st.tuples(
        st.floats(0, 150).map(lambda each: round(each, 3)) | st.sampled_from([0.0, 1.0, 30.0, 60.0, 120.0]),
        st.integers(0, 12),
    ),
    max_size=40,
)


class Clock:
    """A time that tests set."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Library:
    """The library's own count of a limit."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._item = RateLimitItemPerMinute(limit)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._clock = clock

    def hit(self, cost: int) -> bool:
        with mock.patch("limits.storage.memory.time.time", self._clock):
            return self._limiter.hit(self._item, "key_1", cost=cost)


def key(**limits: int) -> Principal:
    return Principal("key_1", "office", "office", "user", quota=Quota(**limits))


def given_ticket(limits: Limits, principal: Principal, cost: int) -> Ticket:
    ticket = limits.admit(principal, cost)
    assert ticket is not None
    return ticket


def attempt(limits: Limits, principal: Principal, cost: int) -> Ticket | RateLimited:
    """The ticket, or why there is none."""
    try:
        return given_ticket(limits, principal, cost)
    except RateLimited as refused:
        return refused


def admitted(limits: Limits, principal: Principal, cost: int) -> bool:
    return not isinstance(attempt(limits, principal, cost), RateLimited)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 20), steps)
def test_tokens_are_counted_as_the_library_counts_them(limit: int, taken: Steps) -> None:
    clock, principal = Clock(), key(tpm=limit)
    own, library = Limits(clock), Library(limit, clock)
    for wait, cost in taken:
        clock.now += wait
        assert admitted(own, principal, cost) == library.hit(cost)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10), steps)
def test_requests_are_counted_as_the_library_counts_them(limit: int, taken: Steps) -> None:
    clock, principal = Clock(), key(rpm=limit)
    own, library = Limits(clock), Library(limit, clock)
    for wait, _ in taken:
        clock.now += wait
        assert admitted(own, principal, 0) == library.hit(1)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 20), steps, st.integers(1, 20))
def test_after_the_time_told_a_request_is_admitted_and_not_before(
    limit: int, taken: Steps, cost: int
) -> None:
    clock, principal = Clock(), key(tpm=limit)
    own = Limits(clock)
    for wait, amount in taken:
        clock.now += wait
        admitted(own, principal, amount)
    refused = attempt(own, principal, cost)
    if not isinstance(refused, RateLimited):
        return
    if cost > limit:
        assert refused.headers()["x-should-retry"] == "false"
        assert refused.retry_after is None
        return
    assert refused.retry_after is not None
    clock.now += refused.retry_after - 1.001
    if refused.retry_after > 1:
        assert not admitted(own, principal, cost)
    clock.now += 1.002
    assert admitted(own, principal, cost)


def test_what_is_settled_corrects_the_estimate() -> None:
    clock, principal = Clock(), key(tpm=100)
    limits = Limits(clock)
    ticket = given_ticket(limits, principal, 90)
    assert not admitted(limits, principal, 20)
    ticket.settle(10)
    assert admitted(limits, principal, 90)
    clock.now = START + 240
    given_ticket(limits, principal, 10).settle(150)
    assert not admitted(limits, principal, 1)
    clock.now += 61
    assert not admitted(limits, principal, 1), "of 150 in the minute before, 147 still count"
    clock.now += 40
    assert admitted(limits, principal, 1)
    clock.now = START + 480
    ticket = given_ticket(limits, principal, 100)
    clock.now += 60
    ticket.settle(0)
    assert admitted(limits, principal, 100), "what was charged in the minute before is taken out there"


def test_an_estimate_that_nobody_corrects_stands() -> None:
    limits, principal = Limits(Clock()), key(tpm=1000)
    ticket = given_ticket(limits, principal, 600)
    assert b"x-ratelimit-remaining-tokens: 400\r\n" in ticket.lines()
    ticket.settle(None)
    assert not admitted(limits, principal, 401)
    assert admitted(limits, principal, 400)


def test_slots_are_given_back() -> None:
    limits, principal = Limits(Clock()), key(concurrency=2)
    tickets = [given_ticket(limits, principal, 0) for _ in range(2)]
    with pytest.raises(RateLimited) as refused:
        limits.admit(principal, 0)
    assert "`concurrency`" in refused.value.message
    assert refused.value.retry_after == 1
    tickets[0].settle(None)
    assert admitted(limits, principal, 0)


def test_a_key_without_limits_is_not_looked_at() -> None:
    assert Limits().admit(Principal("key_1", "office", "office", "user"), 10**9) is None


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    """A connection to a Redis."""
    with Redis() as server, redis.Redis(port=server.port) as connected:
        yield connected


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    quota=st.builds(
        Quota,
        rpm=st.none() | st.integers(1, 10),
        tpm=st.none() | st.integers(1, 20),
        concurrency=st.none() | st.integers(1, 3),
    ),
    taken=steps,
    settled=st.lists(st.none() | st.integers(0, 30), min_size=40, max_size=40),
)
def test_redis_counts_as_memory_does(
    client: redis.Redis, quota: Quota, taken: Steps, settled: list[int | None]
) -> None:
    clock = Clock()
    own, principal = Limits(clock), Principal("key_1", "office", "office", "user", quota=quota)
    client.flushall()
    take, settle = client.register_script(TAKE), client.register_script(SETTLE)
    open_tickets: list[tuple[Ticket, int, int, str]] = []
    for number, (wait, cost) in enumerate(taken):
        clock.now += wait
        limits = [quota.rpm or 0, quota.tpm or 0, quota.concurrency or 0]
        answer = take(["h", "z"], [repr(clock.now), *limits, cost, f"lease{number}", 10_000])
        there, account, now = read(answer)
        assert now == pytest.approx(clock.now, abs=1e-5)
        ticket = attempt(own, principal, cost)
        assert there != isinstance(ticket, RateLimited)
        if not isinstance(ticket, RateLimited):
            open_tickets.append((ticket, cost, account.tokens.index, f"lease{number}"))
        if open_tickets and (amount := settled[number]) is not None:
            ticket, cost, index, lease = open_tickets.pop(0)
            ticket.settle(amount)
            difference = amount - cost if quota.tpm is not None else 0
            settle(["h", "z"], [repr(clock.now), difference, index, lease])


def test_the_fast_way_is_fast() -> None:
    """Not a measurement, which a busy machine would spoil: a bound that only a blunder breaks."""
    limits, principal = Limits(), key(rpm=10**9, tpm=10**12, concurrency=10**6)
    best = 1.0
    for _ in range(50):
        began = time.perf_counter()
        for _ in range(200):
            given_ticket(limits, principal, 100).settle(120)
        best = min(best, (time.perf_counter() - began) / 200)
    assert best < 20e-6


def test_the_slots_of_a_gateway_that_died_run_out(client: redis.Redis) -> None:
    client.flushall()
    take = client.register_script(TAKE)

    def taken(now: float, lease: str) -> bool:
        return read(take(["h", "z"], [repr(now), 0, 0, 1, 0, lease, 30]))[0]

    assert taken(START, "of the dead")
    assert not taken(START + 29, "next")
    assert taken(START + 30.5, "next")
