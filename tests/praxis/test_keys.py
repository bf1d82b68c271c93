"""Keys: made once, known by their hash, gone when revoked or expired."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from praxis.errors import Conflict, InvalidRequest, NotFound
from praxis.keys import OPERATOR, Keys, Quota
from praxis.state import connect
from tests.processes import eventually


@pytest.fixture
def keys(database: Engine) -> Keys:
    return Keys(database)


def test_a_key_is_known_by_its_secret_alone(keys: Keys) -> None:
    principal, secret = keys.create("office", models=["law"], knowledge=["kb"])
    assert secret.startswith("sk-praxis-")
    assert keys.authenticate(secret) == principal
    assert (principal.tenant, principal.role) == ("office", "user")
    assert principal.may_use("law")
    assert not principal.may_use("medicine")
    assert keys.authenticate(secret + "x") is None
    assert keys.create("root", admin=True)[0].tenant == OPERATOR


def test_no_secret_is_kept(keys: Keys, database: Engine) -> None:
    secrets = [keys.create("office")[1], keys.rotate("office", overlap=60)[1]]
    held = sa.MetaData()
    held.reflect(database)
    with database.connect() as connection:
        dump = "\n".join(str(connection.execute(sa.select(each)).all()) for each in held.sorted_tables)
    assert "office" in dump
    assert not any(secret in dump + str(keys.list()) for secret in secrets)


def test_a_revoked_key_and_an_expired_one_are_unknown(keys: Keys) -> None:
    principal, secret = keys.create("office")
    assert keys.revoke("office") == principal.key_id
    assert keys.authenticate(secret) is None
    with pytest.raises(NotFound):
        keys.revoke("office")
    _, brief = keys.create("office", expires_at=time.time() + 5)
    assert keys.authenticate(brief) is not None
    eventually(lambda: keys.authenticate(brief) is None, "the key expires")


def test_names_are_one_to_a_live_key(keys: Keys) -> None:
    keys.create("office")
    with pytest.raises(Conflict):
        keys.create("office")
    with pytest.raises(InvalidRequest):
        keys.create(" ")
    with pytest.raises(InvalidRequest):
        keys.create("late", expires_at=1)


def test_many_may_write_at_once(keys: Keys, state: str) -> None:
    def make(number: int) -> None:
        engine = connect(state)
        Keys(engine).create(f"key-{number}")
        engine.dispose()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(24)))
    assert len(keys.list()) == 24


def test_limits_are_kept_changed_and_taken_away(keys: Keys) -> None:
    limited, secret = keys.create("office", quota=Quota(rpm=60, tpm=10_000, concurrency=2))
    free, _ = keys.create("clinic")
    assert keys.authenticate(secret) == limited
    assert free.quota is None
    assert limited.quota == Quota(60, 10_000, 2)
    assert keys.update("office", {"rpm": 6, "tpm": None}) == limited.key_id
    changed = keys.authenticate(secret)
    assert changed is not None
    assert changed.quota == Quota(6, None, 2)
    keys.update(limited.key_id, {"rpm": None, "concurrency": None, "models": ["law"]})
    changed = keys.authenticate(secret)
    assert changed is not None
    assert (changed.quota, changed.models) == (None, {"law"})


@pytest.mark.parametrize(
    "wrong", [{"rpm": 0}, {"tpm": -1}, {"concurrency": 2**60}, {"expires_at": 1.0}, {"expires_at": 1e300}]
)
def test_a_limit_that_makes_no_sense_is_refused(keys: Keys, wrong: dict[str, float]) -> None:
    keys.create("office")
    with pytest.raises(InvalidRequest) as refused:
        keys.update("office", wrong)
    assert refused.value.param in wrong


def test_a_rotated_key_is_the_same_key_with_another_secret(keys: Keys) -> None:
    before, old = keys.create("office", tenant="firm", models=["law"], quota=Quota(rpm=5))
    key_id, new = keys.rotate("office")
    assert key_id == before.key_id
    assert keys.authenticate(new) == before
    assert keys.authenticate(old) is None
    assert len(keys.list()) == 1
    assert keys.get("office")["rotated_at"] is not None


def test_the_old_secret_may_overlap(keys: Keys) -> None:
    before, first = keys.create("office", quota=Quota(rpm=5))
    _, second = keys.rotate("office", overlap=3600)
    _, third = keys.rotate("office", overlap=5)
    for secret in (first, second, third):
        found = keys.authenticate(secret)
        assert found is not None
        assert (found.key_id, found.quota) == (before.key_id, before.quota)
    assert keys.get("office")["old_secret_until"] is not None
    eventually(lambda: keys.authenticate(second) is None, "the overlap ends")
    assert keys.authenticate(first) is None, "a shorter overlap shortens those before it"
    assert keys.authenticate(third) is not None


def test_revoking_ends_every_secret(keys: Keys) -> None:
    _, first = keys.create("office")
    _, second = keys.rotate("office", overlap=3600)
    keys.revoke("office")
    assert keys.authenticate(first) is None
    assert keys.authenticate(second) is None
    with pytest.raises(NotFound):
        keys.rotate("office")


def test_an_expired_key_is_not_rotated(keys: Keys) -> None:
    keys.create("office", expires_at=time.time() + 2)
    eventually(lambda: not keys.live(), "the key expires")
    with pytest.raises(Conflict):
        keys.rotate("office")
    keys.update("office", {"expires_at": None})
    assert keys.authenticate(keys.rotate("office")[1]) is not None


def test_rotations_at_once_leave_one_secret(keys: Keys, state: str) -> None:
    secrets = [keys.create("office")[1]]

    def rotate(_: int) -> str:
        engine = connect(state)
        secret = Keys(engine).rotate("office")[1]
        engine.dispose()
        return secret

    with ThreadPoolExecutor(4) as pool:
        secrets += pool.map(rotate, range(8))
    assert sum(keys.authenticate(each) is not None for each in secrets) == 1
