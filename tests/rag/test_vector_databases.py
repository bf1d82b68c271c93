"""Knowledge bases whose vectors lie in a vector database: a real PostgreSQL with pgvector, which comes and goes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import psycopg
import pytest

from tests.processes import environment, eventually
from tests.rag.conftest import SECRET, THRIFTY, Rag
from tests.services import PostgreSQL

# Starting the process takes its time on a busy machine, and some of these tests start it again.
pytestmark = pytest.mark.timeout(600)

WAGES = """工资支付规定

第一条 用人单位应当按月以货币形式支付劳动者工资，不得克扣或者无故拖欠。
第二条 休息日安排劳动者工作又不能安排补休的，支付不低于工资百分之二百的工资报酬。
第三条 法定休假日安排劳动者工作的，支付不低于工资百分之三百的工资报酬。
第四条 用人单位应当书面记录支付劳动者工资的数额、时间和领取者的签字，并保存两年以上备查。
"""
LEAVE = """职工休假规定

第一条 职工累计工作满一年不满十年的，年休假五天。
第二条 职工累计工作已满十年不满二十年的，年休假十天。
第三条 女职工生育享受九十八天产假，难产的增加产假十五天。
第四条 职工因病需要停止工作医疗的，给予三个月到二十四个月的医疗期。
"""
TABLE = "SELECT tablename FROM pg_tables WHERE tablename LIKE 'praxis%'"
QUESTIONS = ("加班工资怎么算", "生孩子可以休息多少天", "工资条要保存多久", "年假有几天")


@pytest.fixture(scope="module")
def database() -> Iterator[PostgreSQL]:
    with PostgreSQL(pgvector=True) as running:
        yield running


@pytest.fixture(scope="module")
def url(database: PostgreSQL) -> str:
    return database.database()


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory, model: Path, url: str) -> Iterator[Rag]:
    """The document process with its vectors in PostgreSQL."""
    process = Rag(tmp_path_factory.mktemp("placed"), model, PRAXIS_PGVECTOR_URL=url)
    configure(process, "provider: pgvector")
    with process:
        yield process


def configure(rag: Rag, section: str) -> None:
    """Say where vectors lie; `section` is what stands in `rag.vector_store`."""
    before, _, after = rag.file.read_text().partition("rag: {")
    rag.file.write_text(
        f"{before}rag: {{vector_store: {{{section}}}, embedding{after.partition('embedding')[2]}"
    )


def fill(client: openai.OpenAI, *texts: str) -> tuple[str, list[str]]:
    """A knowledge base of these texts: its id and its files'."""
    ids = [
        client.files.create(file=(f"{at}.txt", text.encode()), purpose="assistants").id
        for at, text in enumerate(texts)
    ]
    store = client.vector_stores.create(name="rules").id
    batch = client.vector_stores.file_batches.create_and_poll(store, file_ids=ids, poll_interval_ms=100)
    assert batch.file_counts.completed == len(ids)
    return store, ids


def found(client: openai.OpenAI, store: str) -> list[list[tuple[str, Any, float]]]:
    """What the questions find: per question each file, article and score, best first."""
    answers = []
    for question in QUESTIONS:
        hits = client.vector_stores.search(store, query=question, max_num_results=10).data
        answers.append(
            [(each.file_id, (each.attributes or {}).get("article"), round(each.score, 4)) for each in hits]
        )
    return answers


def held(url: str) -> dict[str, int]:
    """How many vectors the database holds of each knowledge base."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        (table,) = connection.execute(TABLE).fetchone() or ("",)
        rows = connection.execute(f'SELECT store, count(*) FROM "{table}" GROUP BY store'.encode())
        return dict(rows.fetchall())


def change(url: str, statement: str) -> None:
    """Do something behind the document process's back; `{table}` is where the vectors are."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        (table,) = connection.execute(TABLE).fetchone() or ("",)
        connection.execute(statement.format(table=f'"{table}"').encode())


def asked(rag: Rag, store: str, tenant: str) -> httpx.Response:
    """The answer to a search, which may be an error."""
    path = f"/v1/vector_stores/{store}/search"
    return rag.request("POST", path, json={"query": QUESTIONS[0]}, tenant=tenant)


def test_deleted_is_gone_at_once_and_tenants_are_apart(placed: Rag, url: str) -> None:
    clinic, firm = placed.client("clinic"), placed.client("firm")
    ours, (wages, leave) = fill(clinic, WAGES, LEAVE)
    theirs, _ = fill(firm, WAGES)
    eventually(lambda: held(url) == {ours: 10, theirs: 5}, "all vectors are there")
    assert {file for answer in found(clinic, ours) for file, _, _ in answer} == {wages, leave}
    with pytest.raises(openai.NotFoundError):
        found(firm, ours)
    # Nothing that could be read leaves the state database.
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        columns = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name LIKE 'praxis%'"
        ).fetchall()
    assert {name for (name,) in columns} == {"id", "store", "document", "digest", "embedding"}

    clinic.files.delete(wages)
    assert held(url) == {ours: 5, theirs: 5}
    assert {file for answer in found(clinic, ours) for file, _, _ in answer} == {leave}
    assert [len(each) for each in found(firm, theirs)] == [5] * len(QUESTIONS)
    clinic.vector_stores.delete(ours)
    firm.vector_stores.delete(theirs)
    assert held(url) == {}


def test_filters_bound_what_is_found(placed: Rag) -> None:
    client = placed.client("filters")
    store, (wages, leave) = fill(client, WAGES, LEAVE)
    client.vector_stores.files.update(wages, vector_store_id=store, attributes={"kind": "pay"})
    for filters, expected in (
        ({"type": "eq", "key": "kind", "value": "pay"}, {wages}),
        ({"type": "ne", "key": "kind", "value": "pay"}, {leave}),
        ({"type": "eq", "key": "kind", "value": "none"}, set()),
    ):
        hits = client.vector_stores.search(store, query="产假几天", max_num_results=10, filters=filters).data  # type: ignore[arg-type]
        assert {each.file_id for each in hits} == expected
    (hit,) = client.vector_stores.search(
        store,
        query="产假几天",
        max_num_results=10,
        filters={
            "type": "and",
            "filters": [
                {"type": "eq", "key": "article", "value": "第三条"},
                {"type": "eq", "key": "kind", "value": "pay"},
            ],
        },
    ).data
    assert (hit.file_id, (hit.attributes or {})["article"]) == (wages, "第三条")


def test_a_database_that_goes_away_is_503_until_it_is_back(
    placed: Rag, database: PostgreSQL, url: str
) -> None:
    client = placed.client("away")
    store, (_, leave) = fill(client, WAGES, LEAVE)
    before = found(client, store)
    database.stop()
    try:
        answer = asked(placed, store, "away")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["error"]["code"] == "vector_store_away"
        assert "127.0.0.1" not in answer.text
        # What is deleted meanwhile is gone, and what comes in meanwhile is there, as soon as it is back.
        client.files.delete(leave)
        late = client.files.create(file=("late.txt", LEAVE.encode()), purpose="assistants").id
        entry = client.vector_stores.files.create_and_poll(late, vector_store_id=store, poll_interval_ms=100)
        assert entry.status == "completed"
    finally:
        database.start()

    def back() -> Any:
        try:
            return found(client, store)
        except openai.InternalServerError:
            return None

    after = eventually(back, "searches answer again", within=60)
    renamed = [[(late if file == leave else file, *rest) for file, *rest in each] for each in before]
    assert after == [[tuple(each) for each in answer] for answer in renamed]
    assert held(url)[store] == 10


def test_after_a_crash_the_state_decides_what_there_is(placed: Rag, database: PostgreSQL, url: str) -> None:
    client = placed.client("crash")
    store, files = fill(client, WAGES, LEAVE)
    before = found(client, store)
    placed.kill()
    # As if the process had died between telling the one and the other, and as if an older copy had been restored.
    of = "SELECT {what} FROM {{table}} WHERE document = '{file}'"
    first, last = of.format(what="min(id)", file=files[0]), of.format(what="max(id)", file=files[1])
    other = of.format(what="embedding", file=files[0]) + " LIMIT 1"
    change(url, f"UPDATE {{table}} SET embedding = ({other}), digest = 'older' WHERE id = ({last})")
    change(url, f"DELETE FROM {{table}} WHERE id = ({first})")
    change(
        url,
        "INSERT INTO {table} SELECT 99999, 'vs_gone', 'file-gone', digest, embedding FROM {table} LIMIT 1",
    )
    # A new default leaves a knowledge base where it is.
    configure(placed, "provider: faiss, pgvector: {}")
    database.stop()
    try:
        placed.start()
        embedded, again = fill(client, WAGES, LEAVE)
        assert asked(placed, store, "crash").status_code == 503
        same = dict(zip(again, files, strict=True))
        assert [[(same[file], *rest) for file, *rest in each] for each in found(client, embedded)] == [
            [tuple(each) for each in answer] for answer in before
        ]
    finally:
        database.start()
    eventually(lambda: held(url).get(store) == 10 and "vs_gone" not in held(url), "it is put right by itself")
    assert found(client, store) == before
    assert embedded not in held(url)


def test_without_its_url_rag_does_not_start(tmp_path: Path, model: Path) -> None:
    rag = Rag(tmp_path, model)
    configure(rag, "provider: pgvector")
    command = [sys.executable, "-m", "rag", "--config", str(rag.file), "--port", str(rag.port)]
    variables = environment(PRAXIS_RAG_SECRET=SECRET, **THRIFTY)
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "PRAXIS_PGVECTOR_URL" in done.stderr
    assert "postgresql+psycopg://" in done.stderr
