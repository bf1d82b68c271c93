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

from tests.processes import Gateway, environment, eventually, praxis
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


def moved(rag: Rag, store: str, tenant: str, to: str) -> dict[str, Any]:
    """What came of having a knowledge base moved."""
    path = f"/v1/vector_stores/{store}/migration"
    begun = rag.request("POST", path, json={"to": to}, tenant=tenant)
    assert begun.status_code == 200, begun.text
    return dict(
        eventually(
            lambda: (
                told
                if (told := rag.request("GET", path, tenant=tenant).json())["status"] != "in_progress"
                else None
            ),
            "the vectors are moved",
        )
    )


def test_vectors_move_there_and_back_and_nobody_notices(placed: Rag, database: PostgreSQL, url: str) -> None:
    client = placed.client("mover")
    store, (wages, _) = fill(client, WAGES, LEAVE)
    before = found(client, store)
    cache = placed.folder / ".praxis" / "rag" / "index" / store
    there = "faiss" if store in held(url) else "pgvector"
    first = moved(placed, store, "mover", there)
    assert (first["status"], first["count"], first["to"]) == ("completed", 10, there)
    assert (found(client, store), store in held(url)) == (before, there == "pgvector")
    second = moved(placed, store, "mover", first["from"])
    assert second["checksum"] == first["checksum"]
    assert found(client, store) == before

    third = moved(placed, store, "mover", "faiss")
    assert third["provider"] == "faiss"
    assert store not in held(url)
    path = f"/v1/vector_stores/{store}/migration"
    assert placed.request("POST", path, json={"to": "qdrant"}, tenant="mover").status_code == 400
    assert placed.request("GET", path, tenant="stranger").status_code == 404
    assert placed.request("POST", "/v1/vector_stores/migrations", json={"to": "faiss"}).status_code == 403

    # One whose target is away waits, answers meanwhile, and changes go with it; neither does a crash end it.
    database.stop()
    try:
        placed.request("POST", path, json={"to": "pgvector"}, tenant="mover")
        assert found(client, store) == before
        client.files.delete(wages)
        placed.kill()
        placed.start()
        assert placed.request("GET", path, tenant="mover").json()["status"] == "in_progress"
    finally:
        database.start()
    eventually(
        lambda: placed.request("GET", path, tenant="mover").json()["status"] == "completed", "it arrives"
    )
    assert held(url)[store] == 5
    assert not cache.exists()
    assert [len(each) for each in found(client, store)] == [5] * len(QUESTIONS)
    everything = placed.request(
        "POST", "/v1/vector_stores/migrations", json={"to": "faiss"}, headers={"x-praxis-role": "admin"}
    )
    assert everything.status_code == 200
    eventually(lambda: held(url) == {}, "all are embedded again")


def test_what_does_not_come_back_as_it_was_is_not_moved(placed: Rag, url: str) -> None:
    client = placed.client("liar")
    store, _ = fill(client, WAGES)
    moved(placed, store, "liar", "faiss")
    before = found(client, store)
    change(
        url,
        "CREATE FUNCTION double() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN NEW.embedding := NEW.embedding + NEW.embedding; RETURN NEW; END';"
        "CREATE TRIGGER double BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION double()",
    )
    try:
        told = moved(placed, store, "liar", "pgvector")
    finally:
        change(url, "DROP TRIGGER double ON {table}")
    assert (told["status"], told["provider"]) == ("failed", "faiss")
    assert "nothing was changed" in told["last_error"]["message"]
    assert store not in held(url)
    assert found(client, store) == before
    assert moved(placed, store, "liar", "pgvector")["status"] == "completed"
    assert found(client, store) == before


def test_the_command_moves_one_or_all(placed: Rag, tmp_path: Path) -> None:
    config = (
        "backends: {local: {kind: openai, replicas: [http://127.0.0.1:9]}}\n"
        f"models: {{base: {{backend: local, upstream: base}}}}\nrag: {{url: '{placed.url}'}}\n"
    )
    (tmp_path / "wages.txt").write_text(WAGES)
    with Gateway(tmp_path, config) as gateway:
        eventually(lambda: gateway.get("/v1/files").status_code == 200, "the gateway reaches rag")

        def run(*arguments: str, key: str = gateway.user_key) -> tuple[int, str]:
            variables = {"PRAXIS_API_KEY": key, "PRAXIS_GATEWAY_URL": gateway.url}
            done = praxis("knowledge", *arguments, cwd=tmp_path, **variables)
            return done.returncode, done.stdout + done.stderr

        assert run("create", "rules")[0] == 0
        assert run("add", "rules", "wages.txt")[0] == 0
        was = "faiss" if "rules: in faiss" in run("migrate", "rules")[1] else "pgvector"
        other = "pgvector" if was == "faiss" else "faiss"
        status, said = run("migrate", "rules", "--to", other)
        assert status == 0
        assert f"rules: in {other}, moved from {was} (5 vectors, checksum " in said
        status, said = run("migrate", "rules", "--to", "milvus")
        assert status == 1
        assert "`to` must be one of `faiss`, `pgvector`" in said
        assert "Only an admin's key" in run("migrate", "--all", "--to", was)[1]
        status, said = run("migrate", "--all", "--to", was, key=gateway.admin_key)
        assert status == 0
        told = [line for line in said.splitlines() if line.startswith("vs_")]
        assert told
        assert all(f": in {was}" in line for line in told)
