"""A key's limits, as clients meet them."""

import json
import re
import threading
import time
from collections.abc import Iterator

import openai
import pytest

from praxis.config import load
from praxis.keys import Quota
from tests.fakes.faults import Gate, cut, held, slow, status
from tests.fakes.vllm import VLLM
from tests.gateway.asking import MESSAGES, Reply, ask, early_in_a_minute, house, leaving
from tests.gateway.conftest import Serve
from tests.processes import Gateway, eventually
from tests.services import Redis

LENGTH = re.compile(r"(?:\d+m)?\d+s")


@pytest.fixture
def running(gateway: Serve, engine: VLLM) -> Gateway:
    """A gateway before one engine."""
    return gateway(house(engine))


@pytest.fixture
def limited(running: Gateway, request: pytest.FixtureRequest) -> "Limited":
    return Limited(running, request.node.name)


class Limited:
    """Asks with a key that has limits; each has an account of its own."""

    def __init__(self, running: Gateway, name: str) -> None:
        self.running = running
        self._name = name[:100]

    def key(self, **limits: int) -> str:
        early_in_a_minute()
        return self.running.keys.create(self._name, quota=Quota(**limits))[1]

    def ask(self, secret: str, **body: object) -> Reply:
        return ask(self.running, headers={"authorization": f"Bearer {secret}"}, **body)  # type: ignore[arg-type]


def sdk(running: Gateway, secret: str, **more: int) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{running.url}/v1", api_key=secret, **{"max_retries": 0, **more})  # type: ignore[arg-type]


def test_requests_per_minute_are_limited_and_told(running: Gateway, limited: Limited, engine: VLLM) -> None:
    client = sdk(running, limited.key(rpm=2))
    for left in ("1", "0"):
        raw = client.chat.completions.with_raw_response.create(model="law", messages=MESSAGES)  # type: ignore[arg-type]
        assert raw.headers["x-ratelimit-limit-requests"] == "2"
        assert raw.headers["x-ratelimit-remaining-requests"] == left
        assert LENGTH.fullmatch(raw.headers["x-ratelimit-reset-requests"])
        assert "x-ratelimit-limit-tokens" not in raw.headers
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(model="law", messages=MESSAGES, stream=True)  # type: ignore[call-overload]
    assert refused.value.code == "rate_limit_exceeded"
    assert refused.value.type == "rate_limit_error"
    assert "`rpm`" in refused.value.message
    headers = refused.value.response.headers
    assert 1 <= int(headers["retry-after"]) <= 120
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert LENGTH.fullmatch(headers["x-ratelimit-reset-requests"])
    assert len(engine.asked) == 2


def test_tokens_per_minute_are_charged_by_the_count(limited: Limited, stream: bool) -> None:
    secret = limited.key(tpm=1000)
    first = limited.ask(
        secret, stream=stream, max_tokens=900, stream_options={"include_usage": True} if stream else None
    )
    assert first.status == 200
    assert int(first.headers["x-ratelimit-remaining-tokens"]) < 100, (
        "what may be answered is charged at first"
    )
    second = limited.ask(secret, stream=stream, max_tokens=900)
    assert second.status == 200, "and corrected to what was"
    used = 1000 - int(limited.ask(secret).headers["x-ratelimit-remaining-tokens"])
    assert 0 < used < 200


def test_a_request_larger_than_the_limit_is_never_asked_for_again(
    running: Gateway, limited: Limited, engine: VLLM
) -> None:
    client = sdk(running, limited.key(tpm=100), max_retries=3)
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(model="law", messages=MESSAGES, max_tokens=101)  # type: ignore[arg-type]
    assert "max_tokens" in refused.value.message
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.value.response.headers
    assert engine.asked == []


def test_what_failed_is_charged_as_a_request_and_not_as_tokens(limited: Limited, engine: VLLM) -> None:
    secret = limited.key(tpm=1000, rpm=100)
    engine.script.next(status(400))
    assert limited.ask(secret, max_tokens=900).status == 400
    after = limited.ask(secret, max_tokens=900)
    assert after.status == 200
    assert after.headers["x-ratelimit-remaining-requests"] == "98"


def test_a_wrong_request_costs_nothing(limited: Limited) -> None:
    secret = limited.key(rpm=1)
    assert limited.ask(secret, model="nobody").status == 404
    assert limited.ask(secret).status == 200


def test_requests_at_the_same_time_are_limited(limited: Limited, engine: VLLM, stream: bool) -> None:
    secret = limited.key(concurrency=1)
    gate = Gate()
    engine.script.next(held(gate))
    replies: list[Reply] = []
    waiting = threading.Thread(target=lambda: replies.append(limited.ask(secret, stream=stream)))
    waiting.start()
    eventually(lambda: len(engine.asked) == 1, "the first request is with the engine")
    refused = limited.ask(secret, stream=stream)
    assert refused.status == 429
    assert refused.headers["retry-after"] == "1"
    assert refused.error is not None
    assert "`concurrency`" in refused.error["message"]
    gate.release()
    waiting.join()
    assert replies[0].status == 200
    assert limited.ask(secret).status == 200


def test_one_after_the_other_is_never_at_the_same_time(limited: Limited, stream: bool) -> None:
    secret = limited.key(concurrency=1)
    assert [limited.ask(secret, stream=stream).status for _ in range(30)] == [200] * 30


def test_a_client_that_leaves_gives_its_slot_back(limited: Limited, engine: VLLM, stream: bool) -> None:
    secret = limited.key(concurrency=1)
    for wait in (slow(head=300), slow(gap=60)):
        engine.script.next(wait)
        before = len(engine.asked)
        with leaving(limited.running, key=secret, stream=stream):
            eventually(lambda seen=before: len(engine.asked) > seen, "the engine is asked")  # type: ignore[misc]
        eventually(lambda: limited.ask(secret).status == 200, "the slot is free", within=20)


def test_what_breaks_gives_its_slot_back(limited: Limited, engine: VLLM) -> None:
    secret = limited.key(concurrency=1)
    engine.script.next(cut(2))
    assert limited.ask(secret, stream=True).error is not None
    for code in (500, 503):
        engine.script.always(status(code))
        assert limited.ask(secret).status >= 500
    engine.script.calm()
    assert limited.ask(secret).status == 200


def test_a_changed_limit_is_in_force_at_once_here(running: Gateway, limited: Limited) -> None:
    secret = limited.key(rpm=1)
    assert limited.ask(secret).status == 200
    assert limited.ask(secret).status == 429
    name = limited.running.keys.live()
    key_id = next(
        each.key_id for each in name.values() if each.quota == Quota(rpm=1) and each.name == limited._name
    )
    changed = running.request("PATCH", f"/admin/v1/keys/{key_id}", key=running.admin_key, json={"rpm": 3})
    assert changed.status_code == 200
    assert [limited.ask(secret).status for _ in range(3)] == [200, 200, 429]


def test_a_rotated_key_has_one_account(running: Gateway, limited: Limited) -> None:
    secret = limited.key(rpm=2)
    assert limited.ask(secret).status == 200
    _, fresh = running.keys.rotate(limited._name, overlap=600)
    assert limited.ask(fresh).status == 200
    assert limited.ask(secret).status == 429
    assert limited.ask(fresh).status == 429


def test_what_rag_asks_for_a_key_is_not_limited_again(running: Gateway, limited: Limited) -> None:
    limited.key(rpm=1, concurrency=1)
    key_id = running.keys.get(limited._name)["id"]
    asker = {
        "authorization": "Bearer rag-secret-0123456789",
        "x-praxis-tenant": "firm",
        "x-praxis-key": key_id,
    }
    replies = [ask(running, headers=asker) for _ in range(3)]
    assert [each.status for each in replies] == [200] * 3
    assert not any(name.startswith("x-ratelimit") for each in replies for name in each.headers)


def test_a_key_without_limits_is_told_of_none(running: Gateway) -> None:
    assert not any(name.startswith("x-ratelimit") for name in ask(running).headers)


def test_a_page_of_another_origin_may_read_the_limits(own_gateway: Serve, engine: VLLM) -> None:
    running = own_gateway(house(engine, server={"cors_origins": ["https://intranet.example"]}))
    reply = ask(running, headers={"origin": "https://intranet.example"})
    assert reply.status == 200
    assert reply.headers["access-control-allow-origin"] == "https://intranet.example"
    assert "x-ratelimit-remaining-requests" in reply.headers["access-control-expose-headers"]
    other = ask(running, headers={"origin": "https://elsewhere.example"})
    assert "access-control-allow-origin" not in other.headers


# Several gateways


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with Redis() as server:
        yield server


@pytest.fixture(scope="module")
def standing_pair(tmp_path_factory: pytest.TempPathFactory, redis: Redis) -> Iterator[list[Gateway]]:
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    config = house("http://127.0.0.1:9", server={"limits": redis.url})
    with Gateway(folders[0], config) as one, Gateway(folders[1], config, beside=one) as two:
        yield [one, two]


@pytest.fixture
def pair(standing_pair: list[Gateway], engine: VLLM, redis: Redis) -> list[Gateway]:
    """Two gateways, as on two machines, that share a state and a Redis, before one engine."""
    for each in standing_pair:
        config = json.loads(house(engine, server={"limits": redis.url}))
        config["state"] = load(standing_pair[0].file).state
        each.configure(json.dumps(config))
    return standing_pair


def in_turn(pair: list[Gateway], secret: str, count: int, **body: object) -> list[Reply]:
    headers = {"authorization": f"Bearer {secret}"}
    return [ask(pair[number % 2], headers=headers, **body) for number in range(count)]  # type: ignore[arg-type]


def shared_key(pair: list[Gateway], name: str, **limits: int) -> str:
    early_in_a_minute()
    return pair[0].keys.create(name, quota=Quota(**limits))[1]


def test_gateways_count_requests_together(pair: list[Gateway]) -> None:
    replies = in_turn(pair, shared_key(pair, "together", rpm=6), 10)
    assert [each.status for each in replies] == [200] * 6 + [429] * 4
    assert [each.headers["x-ratelimit-remaining-requests"] for each in replies] == [*"543210", *"0000"]
    assert all(1 <= int(each.headers["retry-after"]) <= 120 for each in replies[6:])


def test_gateways_count_tokens_together(pair: list[Gateway]) -> None:
    secret = shared_key(pair, "together tokens", tpm=1000)
    replies = in_turn(pair, secret, 6, max_tokens=600, stream=True)
    assert [each.status for each in replies] == [200] * 6, "each is corrected before the next"
    assert in_turn(pair, secret, 1, max_tokens=1000)[0].status == 429


def test_gateways_count_what_is_in_flight_together(pair: list[Gateway], engine: VLLM) -> None:
    secret = shared_key(pair, "together in flight", concurrency=1)
    assert [each.status for each in in_turn(pair, secret, 8, stream=True)] == [200] * 8
    engine.script.next(slow(head=300))
    before = len(engine.asked)
    with leaving(pair[0], key=secret):
        eventually(lambda: len(engine.asked) > before, "the engine is asked")
        assert in_turn(pair[::-1], secret, 1)[0].status == 429
    # By itself it would be after 30 s.
    eventually(lambda: in_turn(pair[::-1], secret, 1)[0].status == 200, "the slot is free", within=20)


def test_without_redis_each_counts_for_itself(pair: list[Gateway], redis: Redis) -> None:
    secret = shared_key(pair, "alone", rpm=3)
    assert in_turn(pair, secret, 1)[0].status == 200
    redis.kill()
    try:
        replies = in_turn(pair, secret, 10)
        assert [each.status for each in replies] == [200] * 6 + [429] * 4, "three at each"
        said = [each.log.read_text().count("Redis is away") for each in pair]
        assert said == [1, 1]
    finally:
        redis.start()
    fresh = shared_key(pair, "together again", rpm=2)
    eventually(lambda: all("together again" in each.log.read_text() for each in pair), "Redis is seen again")
    assert [each.status for each in in_turn(pair, fresh, 3)] == [200, 200, 429]


def test_a_redis_that_does_not_answer_delays_nobody_for_long(pair: list[Gateway], redis: Redis) -> None:
    secret = shared_key(pair, "frozen", rpm=1000)
    redis.freeze()
    try:
        began = time.monotonic()
        assert [each.status for each in in_turn(pair, secret, 60)] == [200] * 60
        assert time.monotonic() - began < 20, "far less than half a second for each"
    finally:
        redis.thaw()
    eventually(
        lambda: int(in_turn(pair, secret, 1)[0].headers["x-ratelimit-remaining-requests"]) >= 0,
        "requests are counted again",
    )


def test_a_key_without_limits_never_waits_for_redis(pair: list[Gateway], redis: Redis) -> None:
    def counted() -> list[str]:
        return re.findall(r"cmdstat_evalsha:calls=(\d+)", redis.tell("info", "commandstats"))

    def untouched() -> bool:
        before = counted()
        assert ask(pair[0]).status == 200
        return counted() == before

    # What the requests before have to settle may still be under way.
    eventually(untouched, "Redis is left alone")
