"""The queue's own rules: turns, shares, what each who has to go is told, and that no place is lost."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.routing.queue import Queue
from gateway.routing.replica import Replica
from praxis.errors import Overloaded, PraxisError, RateLimited
from tests.fakes.clock import Clock


class Room:
    """A replica with so many places, and who got one."""

    def __init__(self, clock: Clock) -> None:
        self.replica = Replica("http://replica:8000", clock)
        self.free = 0
        self.down: PraxisError | None = None
        self.served: list[Waiting] = []


class Waiting:
    """A request in the queue, with what became of it."""

    def __init__(self, room: Room, key: str, picky: Callable[[], bool] = lambda: True) -> None:
        self.room = room
        self.key = key
        self.picky = picky
        self.error: PraxisError | None = None

    def look(self) -> Replica | None:
        if self.room.down:
            raise self.room.down
        return self.room.replica if self.room.free and self.picky() else None

    def granted(self, replica: Replica) -> None:
        assert replica is self.room.replica
        self.room.free -= 1
        self.room.served.append(self)

    def shed(self, error: PraxisError) -> None:
        assert self.error is None
        self.error = error


@pytest.fixture
def clock() -> Clock:
    """The queue's time."""
    return Clock()


@pytest.fixture
def room(clock: Clock) -> Room:
    """Where everybody wants to go."""
    return Room(clock)


def make(clock: Clock, size: int, wait: float = 30) -> Queue:
    """A queue of that size."""
    queue = Queue("local", clock)
    queue.configure(size, wait)
    return queue


def enter(queue: Queue, room: Room, *keys: str) -> list[Waiting]:
    """One waiter of each of these keys, in this order."""
    waiting = [Waiting(room, key) for key in keys]
    for each in waiting:
        queue.enter(each, each.key)
    return waiting


def free(queue: Queue, room: Room, places: int = 1) -> None:
    """So many requests end, one after the other."""
    for _ in range(places):
        room.free += 1
        queue.freed()


def test_keys_take_turns_and_within_one_the_first_comes_first(clock: Clock, room: Room) -> None:
    queue = make(clock, 20)
    a1, a2, a3, a4, b1, b2, c1 = enter(queue, room, *"aaaabbc")
    free(queue, room, 7)
    assert room.served == [a1, b1, c1, a2, b2, a3, a4]
    assert len(queue) == 0


def test_who_comes_later_is_not_served_before_a_turn_is_over(clock: Clock, room: Room) -> None:
    queue = make(clock, 20)
    a1, a2 = enter(queue, room, *"aa")
    free(queue, room)
    (b1,) = enter(queue, room, "b")
    free(queue, room, 2)
    assert room.served == [a1, a2, b1]


def test_one_that_waited_before_is_the_first_of_its_key(clock: Clock, room: Room) -> None:
    queue = make(clock, 20)
    (a1,) = enter(queue, room, "a")
    again = Waiting(room, "a")
    queue.enter(again, "a", ahead=True)
    free(queue, room, 2)
    assert room.served == [again, a1]


def test_one_that_leaves_is_forgotten_at_once(clock: Clock, room: Room) -> None:
    queue = make(clock, 20)
    a1, a2, b1 = enter(queue, room, *"aab")
    queue.leave(a1, "a")
    queue.leave(a1, "a")
    queue.leave(b1, "b")
    assert len(queue) == 1
    free(queue, room, 3)
    assert room.served == [a2]
    assert a1.error is None


def test_a_full_queue_refuses_the_key_that_holds_it(clock: Clock, room: Room) -> None:
    queue = make(clock, 4)
    waiting = enter(queue, room, *"aaaaa")
    assert [each.error for each in waiting[:4]] == [None] * 4
    error = waiting[4].error
    assert isinstance(error, RateLimited)
    assert error.code == "queue_share_exceeded"
    assert "`local`" in error.message
    assert error.retry_after == 30
    assert len(queue) == 4


def test_a_full_queue_makes_way_for_a_key_below_its_share(clock: Clock, room: Room) -> None:
    queue = make(clock, 4)
    a = enter(queue, room, *"aaaa")
    b = enter(queue, room, *"bbb")
    assert [type(each.error) for each in a] == [type(None), type(None), RateLimited, RateLimited]
    assert [type(each.error) for each in b] == [type(None), type(None), RateLimited]
    free(queue, room, 4)
    assert room.served == [a[0], b[0], a[1], b[1]]


def test_a_queue_full_of_fair_shares_is_503(clock: Clock, room: Room) -> None:
    queue = make(clock, 3)
    waiting = enter(queue, room, *"abcd")
    error = waiting[3].error
    assert isinstance(error, Overloaded)
    assert error.code == "backend_full"
    assert error.retry_after is not None
    assert [each.error for each in waiting[:3]] == [None] * 3


def test_no_queue_is_503_at_once(clock: Clock, room: Room) -> None:
    (waiting,) = enter(make(clock, 0), room, "a")
    assert isinstance(waiting.error, Overloaded)
    assert "`queue.size`" in waiting.error.message


def test_who_waits_too_long_is_503_and_says_so(clock: Clock, room: Room) -> None:
    queue = make(clock, 4, wait=30)
    (first,) = enter(queue, room, "a")
    clock.pass_(20)
    (second,) = enter(queue, room, "a")
    clock.pass_(10.1)
    queue.tick()
    assert isinstance(first.error, Overloaded)
    assert first.error.code == "queue_timeout"
    assert "30 s" in first.error.message
    assert second.error is None
    assert len(queue) == 1


def test_retry_after_follows_the_rate_of_late(clock: Clock, room: Room) -> None:
    queue = make(clock, 20)
    for _ in range(200):
        clock.pass_(0.5)
        queue.freed()
    waiting = enter(queue, room, *"a" * 21)
    error = waiting[20].error
    assert error is not None
    assert error.retry_after == pytest.approx(10, abs=1)
    for _ in range(400):
        clock.pass_(0.1)
        queue.freed()
    (late,) = enter(queue, room, "a")
    assert late.error is not None
    assert late.error.retry_after == pytest.approx(2, abs=1)
    clock.pass_(600)
    (later,) = enter(queue, room, "a")
    assert later.error is not None
    assert later.error.retry_after == 60


def test_one_that_cannot_go_there_does_not_hold_up_the_others(clock: Clock, room: Room) -> None:
    queue = make(clock, 20)
    open_ = False
    elsewhere = Waiting(room, "a", lambda: open_)
    queue.enter(elsewhere, "a")
    a2, b1 = enter(queue, room, *"ab")
    free(queue, room, 3)
    assert room.served == [b1, a2]
    open_ = True
    queue.tick()
    assert room.served == [b1, a2, elsewhere]


def test_a_tick_lets_in_whoever_can_go_for_another_reason(clock: Clock, room: Room) -> None:
    queue = make(clock, 20)
    waiting = enter(queue, room, *"aabb")
    room.free = 3
    queue.tick()
    assert room.served == [waiting[0], waiting[2], waiting[1]]


def test_nobody_waits_for_a_backend_that_is_down(clock: Clock, room: Room) -> None:
    queue = make(clock, 20)
    waiting = enter(queue, room, *"aab")
    room.down = Overloaded("down")
    queue.tick()
    assert {each.error for each in waiting} == {room.down}
    assert len(queue) == 0


def test_a_place_that_is_given_back_at_once_is_not_lost(clock: Clock, room: Room) -> None:
    """A grant may end within its own call: when the request cannot even be sent."""
    queue = make(clock, 20)

    class Hasty(Waiting):
        def granted(self, replica: Replica) -> None:
            super().granted(replica)
            free(queue, room)

    waiting = [Hasty(room, "a") for _ in range(6)]
    for each in waiting:
        queue.enter(each, "a")
    free(queue, room)
    queue.tick()
    assert room.served == waiting


@settings(max_examples=80, deadline=None)
@given(
    size=st.integers(0, 12),
    steps=st.lists(
        st.tuples(st.sampled_from(["enter", "leave", "free", "tick"]), st.sampled_from("abcd")), max_size=80
    ),
)
def test_whatever_happens_everybody_has_one_end_and_no_share_is_exceeded(
    size: int, steps: list[tuple[str, str]]
) -> None:
    clock = Clock()
    room, queue = Room(clock), make(clock, size, wait=50)
    entered: list[Waiting] = []
    left: list[Waiting] = []
    for what, key in steps:
        clock.pass_(1)
        inside = [each for each in entered if not each.error and each not in room.served and each not in left]
        if what == "enter":
            lanes = Counter(each.key for each in inside)
            (waiting,) = enter(queue, room, key)
            entered.append(waiting)
            if waiting.error and size:
                # Refused only when it is full, and then never while another key has two more than this one.
                assert len(inside) == size
                assert lanes[key] + 1 >= max(lanes.values())
        elif what == "leave" and inside:
            queue.leave(inside[0], inside[0].key)
            left.append(inside[0])
        elif what == "free":
            free(queue, room)
            room.free = 0
        else:
            queue.tick()
        now = [each for each in entered if not each.error and each not in room.served and each not in left]
        assert len(queue) == len(now) <= size
