"""Knowledge bases whose vectors lie in vector databases, which come and go: real ones, and their own engines."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.processes import Gateway, environment, eventually, praxis
from tests.rag.conftest import SECRET, THRIFTY, Rag
from tests.rag.databases import Milvus, PgVector, Qdrant, VectorDatabase

# Starting the process takes its time on a busy machine, and some of these tests start it again.
pytestmark = pytest.mark.timeout(1200)

Databases = Mapping[str, VectorDatabase]

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
QUESTIONS = ("加班工资怎么算", "生孩子可以休息多少天", "工资条要保存多久", "年假有几天")
KINDS = (PgVector, Qdrant, Milvus)
NAMES = [kind.name for kind in KINDS]


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    with ExitStack() as stack:
        yield {kind.name: stack.enter_context(kind()) for kind in KINDS}


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory, model: Path, databases: Databases) -> Iterator[Rag]:
    """The document process with all vector databases; new knowledge bases lie in PostgreSQL."""
    variables = {name: value for each in databases.values() for name, value in each.variables.items()}
    process = Rag(tmp_path_factory.mktemp("placed"), model, **variables)
    configure(process, "pgvector", *(each.section for each in databases.values()))
    with process:
        yield process


@pytest.fixture(params=NAMES)
def database(databases: Databases, request: pytest.FixtureRequest) -> VectorDatabase:
    """Each of them in turn."""
    return databases[request.param]


def configure(rag: Rag, provider: str, *sections: str) -> None:
    """Say where vectors lie."""
    before, _, after = rag.file.read_text().partition("rag: {")
    store = ", ".join([f"provider: {provider}", *sections])
    rag.file.write_text(
        f"{before}rag: {{vector_store: {{{store}}}, embedding{after.partition('embedding')[2]}"
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


def asked(rag: Rag, store: str, tenant: str) -> httpx.Response:
    """The answer to a search, which may be an error."""
    path = f"/v1/vector_stores/{store}/search"
    return rag.request("POST", path, json={"query": QUESTIONS[0]}, tenant=tenant)


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
            within=200,
        )
    )


def fill_in(rag: Rag, tenant: str, place: str, *texts: str) -> tuple[str, list[str]]:
    """A knowledge base of these texts that lies in `place`."""
    store, files = fill(rag.client(tenant), *texts)
    assert moved(rag, store, tenant, place)["provider"] == place
    return store, files


def test_deleted_is_gone_at_once_and_tenants_are_apart(placed: Rag, database: VectorDatabase) -> None:
    clinic, firm = placed.client("clinic"), placed.client("firm")
    ours, (wages, leave) = fill_in(placed, "clinic", database.name, WAGES, LEAVE)
    theirs, _ = fill_in(placed, "firm", database.name, WAGES)
    # A file counts as in a moment before its vectors are.
    eventually(lambda: database.held() == {ours: 10, theirs: 5}, "all vectors are there", within=200)
    assert {file for answer in found(clinic, ours) for file, _, _ in answer} == {wages, leave}
    with pytest.raises(openai.NotFoundError):
        found(firm, ours)
    # Nothing that could be read leaves the state database.
    for row in database.rows():
        assert set(row) == {"id", "store", "document", "digest", "embedding"}

    clinic.files.delete(wages)
    assert database.held() == {ours: 5, theirs: 5}
    assert {file for answer in found(clinic, ours) for file, _, _ in answer} == {leave}
    assert [len(each) for each in found(firm, theirs)] == [5] * len(QUESTIONS)
    late = clinic.files.create(file=("late.txt", WAGES.encode()), purpose="assistants").id
    clinic.vector_stores.files.create_and_poll(late, vector_store_id=ours, poll_interval_ms=100)
    eventually(lambda: database.held() == {ours: 10, theirs: 5}, "the late ones are there", within=200)
    clinic.vector_stores.delete(ours)
    firm.vector_stores.delete(theirs)
    assert database.held() == {}


def test_filters_bound_what_is_found(placed: Rag, database: VectorDatabase) -> None:
    client = placed.client("filters")
    store, (wages, leave) = fill_in(placed, "filters", database.name, WAGES, LEAVE)
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
    # All but one, which is told by what may not be found.
    filters = {"type": "ne", "key": "article", "value": "第三条"}
    hits = client.vector_stores.search(store, query="产假几天", max_num_results=10, filters=filters).data  # type: ignore[arg-type]
    assert len(hits) == 8
    client.vector_stores.delete(store)


def test_a_database_that_goes_away_is_503_until_it_is_back(placed: Rag, database: VectorDatabase) -> None:
    client = placed.client("away")
    store, (_, leave) = fill_in(placed, "away", database.name, WAGES, LEAVE)
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

    after = eventually(back, "searches answer again", within=200)
    renamed = [[(late if file == leave else file, *rest) for file, *rest in each] for each in before]
    assert after == [[tuple(each) for each in answer] for answer in renamed]
    eventually(lambda: database.held().get(store) == 10, "all vectors are there again", within=200)
    client.vector_stores.delete(store)


def test_after_a_crash_the_state_decides_what_there_is(placed: Rag, databases: Databases) -> None:
    client = placed.client("crash")
    filled = {name: fill_in(placed, "crash", name, WAGES, LEAVE) for name in databases}
    before = {name: found(client, store) for name, (store, _) in filled.items()}
    placed.kill()
    for name, database in databases.items():
        database.spoil(*filled[name][1])
        database.stop()
    # A new default leaves a knowledge base where it is.
    configure(placed, "faiss", *(each.section for each in databases.values()))
    try:
        placed.start()
        embedded, again = fill(client, WAGES, LEAVE)
        for name, (store, files) in filled.items():
            assert asked(placed, store, "crash").status_code == 503
            same = dict(zip(again, files, strict=True))
            renamed = [[(same[file], *rest) for file, *rest in each] for each in found(client, embedded)]
            assert renamed == [[tuple(each) for each in answer] for answer in before[name]]
    finally:
        for database in databases.values():
            database.start()
    for name, database in databases.items():
        store, _ = filled[name]
        eventually(lambda: database.held() == {store: 10}, f"{name} is put right by itself", within=200)  # noqa: B023
        assert found(client, store) == before[name]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("provider: pgvector", ("PRAXIS_PGVECTOR_URL", "postgresql+psycopg://")),
        (
            "provider: qdrant, qdrant: {api_key_env: NO_KEY}",
            ("rag.vector_store.qdrant.api_key_env", "NO_KEY_FILE"),
        ),
    ],
)
def test_without_its_secrets_rag_does_not_start(
    tmp_path: Path, model: Path, section: str, said: tuple[str, ...]
) -> None:
    rag = Rag(tmp_path, model)
    rag.file.write_text(rag.file.read_text().replace("rag: {", f"rag: {{vector_store: {{{section}}}, "))
    command = [sys.executable, "-m", "rag", "--config", str(rag.file), "--port", str(rag.port)]
    variables = environment(PRAXIS_RAG_SECRET=SECRET, **THRIFTY)
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    for each in said:
        assert each in done.stderr


def test_vectors_move_there_and_back_and_nobody_notices(placed: Rag, databases: Databases) -> None:
    client = placed.client("mover")
    store, _ = fill_in(placed, "mover", "faiss", WAGES, LEAVE)
    before_moving = found(client, store)
    checksums = set()
    for there in (*NAMES, "faiss", *reversed(NAMES), "faiss"):
        told = moved(placed, store, "mover", there)
        assert (told["status"], told["provider"], told["count"]) == ("completed", there, 10)
        checksums.add(told["checksum"])
        assert found(client, store) == before_moving
        assert {name for name, each in databases.items() if store in each.held()} == {there} - {"faiss"}
    assert len(checksums) == 1
    # Who asked for each move, and that it was made, are lines of the audit trail.
    with closing(sqlite3.connect(placed.folder / ".praxis" / "state.db")) as state:
        query = (
            "SELECT key_id, detail FROM audit WHERE action = 'knowledge.migrate' AND object = ? ORDER BY id"
        )
        lines = list(state.execute(query, (store,)))
    way = ["faiss", *NAMES, "faiss", *reversed(NAMES), "faiss"]
    wanted = [
        line
        for before, after in pairwise(way)
        for line in (("key_1", f"to {after}"), ("praxis", f"from {before} to {after}"))
    ]
    assert lines[-len(wanted) :] == wanted

    path = f"/v1/vector_stores/{store}/migration"
    assert placed.request("POST", path, json={"to": "chroma"}, tenant="mover").status_code == 400
    assert placed.request("GET", path, tenant="stranger").status_code == 404
    assert placed.request("POST", "/v1/vector_stores/migrations", json={"to": "faiss"}).status_code == 403


def test_a_move_waits_for_its_target_and_outlives_a_crash(placed: Rag, databases: Databases) -> None:
    client = placed.client("patient")
    store, (wages, _) = fill_in(placed, "patient", "faiss", WAGES, LEAVE)
    before = found(client, store)
    path = f"/v1/vector_stores/{store}/migration"
    database = databases["pgvector"]
    database.stop()
    try:
        placed.request("POST", path, json={"to": "pgvector"}, tenant="patient")
        assert found(client, store) == before
        client.files.delete(wages)
        placed.kill()
        placed.start()
        assert placed.request("GET", path, tenant="patient").json()["status"] == "in_progress"
    finally:
        database.start()
    eventually(
        lambda: placed.request("GET", path, tenant="patient").json()["status"] == "completed",
        "it arrives",
        within=200,
    )
    assert database.held()[store] == 5
    assert not (placed.folder / ".praxis" / "rag" / "index" / store).exists()
    assert [len(each) for each in found(client, store)] == [5] * len(QUESTIONS)
    everything = placed.request(
        "POST", "/v1/vector_stores/migrations", json={"to": "faiss"}, headers={"x-praxis-role": "admin"}
    )
    assert everything.status_code == 200
    eventually(
        lambda: not any(each.held() for each in databases.values()), "all are embedded again", within=400
    )


# Milvus Lite cannot be made to lie.
@pytest.mark.parametrize("database", ["pgvector", "qdrant"], indirect=True)
def test_what_does_not_come_back_as_it_was_is_not_moved(placed: Rag, database: VectorDatabase) -> None:
    client = placed.client("liar")
    store, _ = fill_in(placed, "liar", "faiss", WAGES)
    before = found(client, store)
    with database.lying():
        told = moved(placed, store, "liar", database.name)
    assert (told["status"], told["provider"]) == ("failed", "faiss")
    assert "nothing was changed" in told["last_error"]["message"]
    assert store not in database.held()
    assert found(client, store) == before
    assert moved(placed, store, "liar", database.name)["status"] == "completed"
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
        status, said = run("migrate", "rules", "--to", "qdrant")
        assert status == 0
        assert f"rules: in qdrant, moved from {was} (5 vectors, checksum " in said
        status, said = run("migrate", "rules", "--to", "chroma")
        assert status == 1
        assert "`to` must be one of " + ", ".join(f"`{each}`" for each in ("faiss", *NAMES)) in said
        assert "Only an admin's key" in run("migrate", "--all", "--to", was)[1]
        status, said = run("migrate", "--all", "--to", was, key=gateway.admin_key)
        assert status == 0
        told = [line for line in said.splitlines() if line.startswith("vs_")]
        assert told
        assert all(f": in {was}" in line for line in told)
