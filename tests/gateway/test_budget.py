"""The retry budget: what breaks now and then is made good, what always breaks is not multiplied."""

import pytest

from gateway.routing.budget import Budget
from tests.fakes.clock import Clock


def storm(budget: Budget, clock: Clock, requests: int, *, every: float, in_flight: int = 1) -> int:
    """How many retries so many requests get, each of which fails as often as it may be tried, three times at most."""
    retries = 0
    for _ in range(requests):
        clock.pass_(every)
        budget.request()
        retries += budget.spend(in_flight) and 1 + budget.spend(in_flight)
    return retries


def test_now_and_then_is_always_made_good() -> None:
    clock = Clock()
    budget = Budget(clock)
    for number in range(1000):
        clock.pass_(0.01)
        budget.request()
        if number % 10 == 0:
            assert budget.spend(1)
    assert budget.refused == 0


def test_always_is_a_fifth_more_and_a_little() -> None:
    clock = Clock()
    assert storm(Budget(clock), clock, 1000, every=0.001) == pytest.approx(200 + 20 + 2, abs=3)


def test_a_quiet_backend_is_not_held_to_a_share() -> None:
    clock = Clock()
    assert storm(Budget(clock), clock, 100, every=10) == 200


def test_all_that_is_in_flight_may_break_at_once_and_is_tried_again_once() -> None:
    clock = Clock()
    budget = Budget(clock)
    for _ in range(256):
        budget.request()
    assert sum(budget.spend(256) for _ in range(1000)) == 256
    assert budget.refused == 744


def test_a_debt_is_paid_back_by_what_goes_well() -> None:
    clock = Clock()
    budget = Budget(clock)
    while budget.spend(1):
        pass
    for _ in range(26):
        budget.request()
    assert [budget.spend(1) for _ in range(6)] == [True] * 5 + [False]
