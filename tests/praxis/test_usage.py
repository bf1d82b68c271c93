"""Usage adds up, once, whoever adds and however often."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine

from praxis.errors import InvalidRequest
from praxis.keys import Keys
from praxis.state import connect
from praxis.usage import HOUR, Bucket, Counts, Usage
from tests.processes import praxis

NOON = 1_772_366_400
"""2026-03-01T12:00Z."""


@pytest.fixture
def usage(database: Engine) -> Usage:
    Keys(database)
    return Usage(database)


def bucket(hour: int = 0, key: str = "key_1", model: str = "law", adapter: str = "law") -> Bucket:
    return Bucket(NOON + hour * HOUR, key, f"tenant of {key}", model, adapter)


def test_batches_add_up(usage: Usage) -> None:
    usage.add("a", 1, {bucket(): Counts(1, 0, 10, 5), bucket(1): Counts(1, 1, 0, 0)})
    usage.add("a", 2, {bucket(): Counts(2, 0, 20, 7)})
    usage.add("b", 1, {bucket(): Counts(1, 0, 1, 1), bucket(key="key_2"): Counts(1, 0, 3, 4)})
    (told,) = usage.read([])
    assert told == {
        "requests": 6,
        "errors": 1,
        "prompt_tokens": 34,
        "completion_tokens": 17,
        "total_tokens": 51,
    }


def test_a_batch_counts_once(usage: Usage) -> None:
    for _ in range(3):
        usage.add("a", 1, {bucket(): Counts(1, 0, 10, 5)})
    assert usage.read([])[0]["requests"] == 1


def test_writers_at_once_lose_nothing(usage: Usage, state: str) -> None:
    def add(writer: int) -> None:
        engine = connect(state)
        own = Usage(engine)
        for batch in range(1, 6):
            order = range(20) if writer % 2 else reversed(range(20))
            own.add(f"w{writer}", batch, {bucket(key=f"key_{n}"): Counts(1, 0, 2, 3) for n in order})
        engine.dispose()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    assert usage.read([])[0]["requests"] == 4 * 5 * 20
    assert {each["requests"] for each in usage.read(["key"])} == {20}


def test_usage_is_told_by_what_is_asked(usage: Usage, database: Engine) -> None:
    principal, _ = Keys(database).create("office")
    usage.add(
        "a",
        1,
        {
            bucket(0, principal.key_id): Counts(3, 0, 30, 30),
            bucket(1, principal.key_id, adapter="fine"): Counts(2, 1, 20, 20),
            bucket(24, "key_gone"): Counts(1, 0, 1, 1),
        },
    )
    assert [(each["key"], each["requests"]) for each in usage.read(["key"])] == [
        ("office", 5),
        ("key_gone", 1),
    ]
    assert [each["day"] for each in usage.read(["day"])] == ["2026-03-01", "2026-03-02"]
    assert [each["hour"] for each in usage.read(["hour"], key="office")] == [
        "2026-03-01T12:00Z",
        "2026-03-01T13:00Z",
    ]
    assert usage.read(["adapter"], adapter="fine")[0]["prompt_tokens"] == 20
    assert usage.read(["model"], since=NOON + HOUR + 5, until=NOON + 24 * HOUR)[0]["requests"] == 2
    assert usage.read(["model"], tenant="nobody") == usage.read([], model="none") == []
    with pytest.raises(InvalidRequest):
        usage.read(["colour"])


def test_the_command_prints_what_was_used(tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text(
        "backends: {b: {kind: vllm, replicas: ['http://127.0.0.1:1']}}\nmodels: {m: {backend: b, upstream: m}}\n"
    )
    engine = connect(f"sqlite:///{tmp_path / '.praxis' / 'state.db'}")
    key_id = Keys(engine).create("律所")[0].key_id
    Usage(engine).add("a", 1, {bucket(key=key_id): Counts(2, 0, 10, 5)})
    engine.dispose()
    asked = ["keys", "usage", "--since", "2026-03-01", "--until", "2026-03-02", "--by", "day,key"]
    assert "律所" in praxis(*asked, cwd=tmp_path).stdout
    lines = praxis(*asked, "--format", "csv", cwd=tmp_path).stdout.splitlines()
    assert lines[0] == "day,key,key_id,requests,errors,prompt_tokens,completion_tokens,total_tokens"
    assert lines[1] == f"2026-03-01,律所,{key_id},2,0,10,5,15"
    wrong = praxis("keys", "usage", "--since", "yesterday", cwd=tmp_path)
    assert wrong.returncode == 1
    assert "`--since` is `yesterday`" in wrong.stderr
