"""`kill -9` in the middle of ingestion: at the next start each file is whole or absent, and then whole."""

import json
import sqlite3
from pathlib import Path

import psutil
import pytest

from tests.processes import ROOT, eventually, gone
from tests.rag import documents
from tests.rag.conftest import SAMPLES, Rag
from tests.rag.house import STATUTE

# Two starts of the process and some minutes' worth of embedding on a busy machine.
pytestmark = pytest.mark.timeout(900)


def made(rag: Rag) -> set[str]:
    """The digests of all texts of which there is a vector."""
    with sqlite3.connect(rag.folder / ".praxis" / "state.db") as state:
        rows = state.execute(
            "SELECT digest FROM rag_passage WHERE digest IS NOT NULL UNION SELECT digest FROM rag_draft"
        )
        return {digest for (digest,) in rows}


def embedded(rag: Rag) -> int:
    """How many texts the process has embedded for files that came in, over all its lives."""
    whole, _, _ = rag.log.read_text().rpartition("\n")
    told = [json.loads(line) for line in whole.splitlines() if '"embedded"' in line]
    return sum(each["embedded"] for each in told)


def test_ingestion_goes_on_where_a_kill_cut_it_off(tmp_path: Path, model: Path) -> None:
    with Rag(tmp_path, model) as rag:
        client = rag.client()
        store = client.vector_stores.create(name="labour").id
        ids = [
            client.files.create(file=path, purpose="assistants").id for path in sorted(SAMPLES.glob("*.txt"))
        ]
        client.vector_stores.file_batches.create(store, file_ids=ids)
        eventually(lambda: made(rag), "something is embedded", within=120)
        rag.kill()
        before, counted = made(rag), embedded(rag)
        (tmp_path / ".praxis" / "rag" / "files" / ".file-half").write_bytes(b"half an upload")

        rag.start()
        eventually(
            lambda: client.vector_stores.retrieve(store).file_counts.completed == len(ids),
            "all are in",
            within=400,
        )
        # What was embedded for a file that had not come in was counted by nobody; the rest once.
        fresh = len(made(rag) - before)
        eventually(lambda: embedded(rag) - counted >= fresh, "the log tells of the last file")
        assert embedded(rag) - counted == fresh
        articles = {
            (each.attributes or {}).get("article")
            for query in (
                "劳动法第四十四条",
                "劳动合同法第十九条",
                "劳动争议调解仲裁法第二十七条",
                "工资支付暂行规定第十三条",
            )
            for each in client.vector_stores.search(store, query=query, max_num_results=1)
        }
        assert articles == {"第四十四条", "第十九条", "第二十七条", "第十三条"}
        assert sorted(path.name for path in (tmp_path / ".praxis" / "rag" / "files").iterdir()) == sorted(ids)

        client.files.delete(ids[0])
        rag.kill()
        rag.start()
        hits = client.vector_stores.search(store, query="劳动合同 试用期 工资 仲裁", max_num_results=50).data
        assert hits
        assert ids[0] not in {each.file_id for each in hits}


def test_pages_recognised_before_a_kill_are_kept_and_no_reader_outlives_it(
    tmp_path: Path, model: Path
) -> None:
    scan = (ROOT / "tests" / "data" / "scan.png").read_bytes()

    def kept(rag: Rag) -> list[tuple[int, str]]:
        with sqlite3.connect(rag.folder / ".praxis" / "state.db") as state:
            return list(state.execute("SELECT page, lines FROM rag_recognised ORDER BY page"))

    with Rag(tmp_path, model) as rag:
        client = rag.client()
        file = client.files.create(file=("a.pdf", documents.mixed(scan, scan, scan)), purpose="assistants").id
        store = client.vector_stores.create(name="scans", file_ids=[file]).id
        eventually(lambda: kept(rag), "a page is recognised", within=200)
        readers = psutil.Process(rag.process.pid).children()
        rag.kill()
        eventually(lambda: gone(readers), "the reading processes end with it")
        # A mark that no recognition would give shows that the page is not recognised again.
        with sqlite3.connect(tmp_path / ".praxis" / "state.db") as state:
            state.execute(
                "UPDATE rag_recognised SET lines = ? WHERE page = 1",
                ('["第一页早已认出，不再重认。' + "略" * 900 + '"]',),
            )

        rag.start()
        entry = client.vector_stores.files.poll(file, vector_store_id=store, poll_interval_ms=500)
        assert entry.status == "completed", entry.last_error
        (content,) = client.vector_stores.files.content(file, vector_store_id=store).data
        assert (content.text or "").startswith("第一页早已认出")
        assert (content.text or "").count("第七条劳动者有权依法参加和组织工会") == 2
        assert [page for page, _ in kept(rag)] == [1, 2, 3], (
            "where their lines stand is kept for who looks at them"
        )
        client.files.delete(file)
        assert kept(rag) == []


def test_indexes_kept_on_disk_find_what_those_made_anew_find(tmp_path: Path, model: Path) -> None:
    def hits(rag: Rag) -> list[tuple[str, float]]:
        page = rag.client().vector_stores.search(store, query="借阅图书 四十五日", max_num_results=5)
        return [(each.content[0].text, round(each.score, 4)) for each in page.data]

    with Rag(tmp_path, model) as rag:
        client = rag.client()
        file = client.files.create(file=("a.txt", STATUTE.encode()), purpose="assistants").id
        store = client.vector_stores.create(name="library", file_ids=[file]).id
        entry = client.vector_stores.files.poll(file, vector_store_id=store, poll_interval_ms=200)
        assert entry.status == "completed", entry.last_error
        expected = hits(rag)
        assert "四十五日" in expected[0][0]
    kept = sorted((tmp_path / ".praxis" / "rag" / "index" / store).iterdir())
    assert [each.name for each in kept] == ["keywords.npz", "manifest.json", "vectors.faiss"]
    with rag:
        assert hits(rag) == expected
    for each in kept:
        each.write_bytes(b"garbage")
    with rag:
        assert hits(rag) == expected
