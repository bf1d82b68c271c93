"""Schemas go forward by themselves, once, and keep every row of the version before."""

import contextlib
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine, text

from gateway.adapters.desired import DesiredAdapters
from gateway.adapters.scores import Score, Scores
from praxis.errors import PraxisError
from praxis.keys import Keys
from praxis.state import Step, connect, migrate, writing
from praxis.usage import Usage
from rag import tables
from rag.shares import Grantee, Shares
from tests.processes import ROOT, free_port
from tests.services import PostgreSQL

DUMPS = ROOT / "tests" / "data" / "state"


def first(connection: Connection) -> None:
    connection.execute(text("create table thing (name text)"))


def second(connection: Connection) -> None:
    connection.execute(text("alter table thing add column size int"))


def failing(connection: Connection) -> None:
    connection.execute(text("create table half (name text)"))
    raise RuntimeError


def test_steps_run_forward_once(database: Engine) -> None:
    released: Sequence[Step] = [first]
    migrate(database, "room", released)
    migrate(database, "room", [first, second])
    migrate(database, "room", [first, second])
    with pytest.raises(RuntimeError):
        migrate(database, "room", [first, second, failing])
    with writing(database).begin() as connection:
        connection.execute(text("insert into thing (name, size) values ('a', 1)"))
    assert "half" not in sa.inspect(database).get_table_names()


def test_processes_that_start_at_once_agree(state: str) -> None:
    def start(_: int) -> None:
        engine = connect(state)
        migrate(engine, "room", [first, second])
        engine.dispose()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(start, range(16)))


@pytest.fixture
def before(state: str, request: pytest.FixtureRequest) -> None:
    """The state database as version 1 left it, with rows in its tables."""
    if state.startswith("sqlite"):
        file = Path(state.removeprefix("sqlite:///"))
        file.parent.mkdir()
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.executescript((DUMPS / "version-1.sqlite.sql").read_text())
    else:
        running: PostgreSQL = request.getfixturevalue("postgresql")
        running.load(state, (DUMPS / "version-1.postgresql.sql").read_text())


def rows(engine: sa.Engine) -> dict[str, list[dict[str, object]]]:
    held = sa.MetaData()
    held.reflect(engine)
    with engine.connect() as connection:
        return {
            table.name: [dict(row) for row in connection.execute(sa.select(table)).mappings()]
            for table in held.sorted_tables
        }


@pytest.mark.usefixtures("before")
def test_the_version_before_comes_forward_with_every_row(database: Engine) -> None:
    old = rows(database)
    assert all(old[name] for name in ("api_key", "adapter", "rag_file", "rag_store", "rag_passage"))
    keys, adapters = Keys(database), DesiredAdapters(database)
    Usage(database)
    migrate(database, "rag", tables.STEPS)
    new = rows(database)
    for name, held in old.items():
        if name != "schema_version":
            kept = [{column: row[column] for column in held[0]} for row in new[name]] if held else []
            assert kept == held, name
    user = keys.authenticate("sk-praxis-user-of-version-1")
    assert user is not None
    assert (user.name, user.tenant, user.models, user.knowledge) == (
        "律所",
        "律所",
        {"law", "law-adapter"},
        {"劳动法"},
    )
    assert user.quota is None
    assert keys.authenticate("sk-praxis-admin-of-version-1") is not None
    for gone in ("revoked", "expired"):
        assert keys.authenticate(f"sk-praxis-{gone}-of-version-1") is None
    state = adapters.read()
    assert [(each.name, each.canary) for each in state.adapters] == [("law-adapter", None)]
    assert [(each.name, each.revision, each.held) for each in state.revisions] == [
        ("law-adapter", state.adapters[0].revision, True)
    ]
    assert [each.action for each in adapters.history("law-adapter")] == ["load"]
    scores = Scores(database)
    assert not scores.last()
    told = [
        Score("laws", rows, 2, {"rouge-l": {"mean": 41.5, "low": 40.0, "high": None}}, 1.5, "律所")
        for rows in (5, 3)
    ]
    for each in told:
        scores.add("law-adapter", state.adapters[0].revision, each)
    assert Scores(database).last() == {state.revisions[0].upstream: told[1:]}
    shares, store = Shares(database), str(old["rag_store"][0]["id"])
    shares.grant(store, Grantee("tenant", "医院"), "write", user.actor)
    assert shares.held("医院", "key_1") == {store: "write"}
    assert keys.rotate("律所", overlap=60)[0] == user.key_id
    assert keys.update("律所", {"rpm": 5}) == user.key_id


def test_a_database_that_is_away_is_named_without_its_password(tmp_path: Path) -> None:
    away = f"postgresql+psycopg://praxis:hush@127.0.0.1:{free_port()}/praxis"
    with pytest.raises(PraxisError) as refused:
        Keys(connect(away))
    assert "127.0.0.1" in refused.value.message
    assert "hush" not in refused.value.message


@pytest.mark.usefixtures("before")
def test_a_file_that_was_an_edition_of_one_law_holds_one(database: Engine) -> None:
    migrate(database, "rag", tables.STEPS[:7])
    law = {"law": "劳动法", "version": "2018-12-29", "effective": "2019-01-01"}
    with writing(database).begin() as connection:
        entry = connection.execute(sa.select(tables.entries)).mappings().first()
        assert entry is not None
        connection.execute(sa.update(tables.entries).values(edition=law))
        passage = {"law": "中华人民共和国劳动法", "version": "2018-12-29", "article": "第一条"}
        connection.execute(sa.update(tables.passages).values(file_id=entry["file_id"], **passage))
    migrate(database, "rag", tables.STEPS)
    held = {row["file_id"]: row["edition"] for row in rows(database)["rag_store_file"]}
    assert held[entry["file_id"]] == [law | {"title": "中华人民共和国劳动法"}]
