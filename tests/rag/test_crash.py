"""`kill -9` in the middle of ingestion: at the next start each file is whole or absent, and then whole."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.processes import eventually
from tests.rag.conftest import SAMPLES, Rag

# Two starts of the process and some minutes' worth of embedding on a busy machine.
pytestmark = pytest.mark.timeout(400)


def made(rag: Rag) -> set[str]:
    """The digests of all texts of which there is a vector."""
    with sqlite3.connect(rag.folder / ".praxis" / "state.db") as state:
        rows = state.execute(
            "SELECT digest FROM rag_passage WHERE digest IS NOT NULL UNION SELECT digest FROM rag_draft"
        )
        return {digest for (digest,) in rows}


def embedded(rag: Rag) -> int:
    """How many texts the process has embedded for files that came in, over all its lives."""
    told = [json.loads(line) for line in rag.log.read_text().splitlines() if '"embedded"' in line]
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
            within=200,
        )
        # What was embedded for a file that had not come in was counted by nobody; the rest once.
        assert embedded(rag) - counted == len(made(rag) - before)
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
