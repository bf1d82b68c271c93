"""Keys: made once, known by their hash, gone when revoked or expired."""

import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from praxis.errors import Conflict, InvalidRequest, NotFound
from praxis.keys import OPERATOR, Keys
from praxis.state import Step, connect, migrate, writing
from tests.processes import eventually, praxis


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(connect(f"sqlite:///{tmp_path / 'deep' / 'state.db'}"))


def test_a_key_is_known_by_its_secret_alone(keys: Keys) -> None:
    principal, secret = keys.create("office", models=["law"], knowledge=["kb"])
    assert secret.startswith("sk-praxis-")
    assert keys.authenticate(secret) == principal
    assert (principal.tenant, principal.role) == ("office", "user")
    assert principal.may_use("law")
    assert not principal.may_use("medicine")
    assert keys.authenticate(secret + "x") is None
    assert keys.create("root", admin=True)[0].tenant == OPERATOR


def test_no_secret_is_kept(keys: Keys, tmp_path: Path) -> None:
    _, secret = keys.create("office")
    with sqlite3.connect(tmp_path / "deep" / "state.db") as database:
        dump = "\n".join(database.iterdump())
    assert "office" in dump
    assert secret not in dump
    assert secret not in str(keys.list())


def test_a_revoked_key_and_an_expired_one_are_unknown(keys: Keys) -> None:
    principal, secret = keys.create("office")
    assert keys.revoke("office") == principal.key_id
    assert keys.authenticate(secret) is None
    with pytest.raises(NotFound):
        keys.revoke("office")
    _, brief = keys.create("office", expires_at=time.time() + 2)
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


def test_many_may_write_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"

    def make(number: int) -> None:
        Keys(connect(url)).create(f"key-{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(24)))
    assert len(Keys(connect(url)).list()) == 24


def test_migrations_run_forward_once(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'state.db'}")

    def first(connection: Connection) -> None:
        connection.execute(text("create table thing (name text)"))

    def second(connection: Connection) -> None:
        connection.execute(text("alter table thing add column size int"))

    def failing(connection: Connection) -> None:
        connection.execute(text("create table half (name text)"))
        raise RuntimeError

    released: Sequence[Step] = [first]
    migrate(engine, "room", released)
    migrate(engine, "room", [first, second])
    migrate(engine, "room", [first, second])
    with pytest.raises(RuntimeError):
        migrate(engine, "room", [first, second, failing])
    with writing(engine).begin() as connection:
        connection.execute(text("insert into thing (name, size) values ('a', 1)"))
        names = (
            connection.execute(text("select name from sqlite_master where type = 'table'")).scalars().all()
        )
    assert "half" not in names


def test_the_commands_make_list_and_revoke(tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text(
        "backends: {b: {kind: vllm, replicas: ['http://127.0.0.1:1']}}\nmodels: {m: {backend: b, upstream: m}}\n"
    )
    made = praxis("keys", "create", "office", "--model", "m", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("sk-praxis-")
    assert praxis("keys", "create", "office", cwd=tmp_path).returncode == 1
    unknown = praxis("keys", "create", "clinic", "--model", "n", cwd=tmp_path)
    assert unknown.returncode == 1
    assert "known are" in unknown.stderr
    listed = praxis("keys", "list", cwd=tmp_path).stdout
    assert "office" in listed
    assert made.stdout.strip() not in listed
    assert praxis("keys", "revoke", "office", cwd=tmp_path).returncode == 0
    assert praxis("config", "check", "models.yaml", cwd=tmp_path).returncode == 0
    assert praxis("keys", "list", "--config", "none.yaml", cwd=tmp_path).returncode == 2
