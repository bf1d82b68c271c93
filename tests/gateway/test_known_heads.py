"""Engines send the same head with nearly every reply, and the gateway knows it again: nobody can tell by the replies."""

import json
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.scripted import Scripted
from tests.gateway.asking import ask, house
from tests.gateway.conftest import Serve

DATE = b"date: Mon, 23 Nov 2026 02:16:09 GMT\r\n"


def reply(says: str, *, more: bytes = DATE, status: bytes = b"200 OK") -> bytes:
    body = json.dumps(
        {"model": "qwen", "choices": [{"index": 0, "message": {"role": "assistant", "content": says}}]}
    )
    head = b"HTTP/1.1 %s\r\n%scontent-length: %d\r\ncontent-type: application/json\r\n\r\n"
    return head % (status, more, len(body)) + body.encode()


def test_replies_with_the_same_head_differ_in_length_and_come_over_one_connection(gateway: Serve) -> None:
    said = ["yes", "no", "that depends on the article" * 50, "", "x"]
    with Scripted(*([reply(each)] for each in said)) as engine:
        running = gateway(house(engine.url))
        assert [ask(running).text for _ in said] == said
        assert len(engine.connections) == 1


def test_a_head_that_changes_is_read_anew(gateway: Serve) -> None:
    later = DATE.replace(b":09 ", b":10 ")
    replies = [
        reply("first"),
        reply("second"),
        reply("a second later", more=later),
        reply("the engine closes", more=later + b"connection: close\r\n"),
        reply("another connection", more=later),
        reply("is busy", more=later, status=b"400 Bad Request"),
        reply("at last", more=later),
    ]
    with Scripted(*([each] for each in replies)) as engine:
        running = gateway(house(engine.url))
        answers = [ask(running) for _ in replies]
        assert [each.status for each in answers] == [200, 200, 200, 200, 200, 400, 200]
        said = [each.text for each in answers if each.status == 200]
        assert said == [
            "first",
            "second",
            "a second later",
            "the engine closes",
            "another connection",
            "at last",
        ]
        assert len(engine.connections) == 2


def test_a_reply_that_is_cut_after_a_known_head_is_no_success(gateway: Serve) -> None:
    whole = reply("the whole answer")
    with Scripted([whole], [whole], [whole[:-5]]) as engine:
        running = gateway(house(engine.url, timeouts={"first_event": 3, "total": 3}))
        assert [ask(running).status for _ in range(3)] == [200, 200, 504]


def test_heads_that_never_come_again_are_served_all_the_same(gateway: Serve) -> None:
    numbered = [[reply(f"answer {each}", more=b"x-request-id: %d\r\n" % each)] for each in range(40)]
    with Scripted(*numbered) as engine:
        running = gateway(house(engine.url))
        assert [ask(running).text for _ in numbered] == [f"answer {each}" for each in range(40)]
        assert len(engine.connections) == 1


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.lists(st.integers(1, len(reply("as split")) - 1), max_size=3), min_size=3, max_size=6)
)
def test_however_replies_are_split_they_are_the_same(gateway: Serve, cuts: list[list[int]]) -> None:
    whole = reply("as split")
    replies = []
    for each in cuts:
        at = [0, *sorted(set(each)), len(whole)]
        replies.append([whole[start:end] for start, end in pairwise(at)])
    with Scripted(*replies) as engine:
        running = gateway(house(engine.url))
        assert {ask(running).text for _ in replies} == {"as split"}
