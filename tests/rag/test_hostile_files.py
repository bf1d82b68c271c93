"""Fifty mixed hostile files at once: each is searchable or gets its one clear reason, and nothing else suffers."""

from pathlib import Path

import openai
import pytest

from tests.processes import ROOT
from tests.rag.conftest import Rag
from tests.rag.hostile import SAID, Hostile, files

# Three of them are recognised from pictures, which takes its time where many share few cores.
pytestmark = pytest.mark.timeout(900)

TABLE = ROOT / "docs" / "reference" / "hostile-files.md"


def row(name: str, got: str) -> str:
    return f"| `{name}` | {got} |"


def told(client: openai.OpenAI, store: str, file: Hostile, file_id: str) -> str:
    """What the file got, for people. Fails where that is not what it should be."""
    entry = client.vector_stores.files.retrieve(file_id, vector_store_id=store)
    if file.reason:
        assert (entry.status, bool(entry.last_error)) == ("failed", True), f"{file.name} was taken"
        assert entry.last_error
        assert file.reason in entry.last_error.message
        assert entry.last_error.code in ("invalid_file", "unsupported_file")
        return f"{entry.last_error.code}: {entry.last_error.message}"
    assert entry.status == "completed", f"{file.name}: {entry.last_error}"
    (content,) = client.vector_stores.files.content(file_id, vector_store_id=store).data
    assert file.text in (content.text or "")
    progress = entry.to_dict()["progress"]
    assert isinstance(progress, dict)
    facts = [str(progress["format"]), *([str(progress["encoding"])] if "encoding" in progress else [])]
    facts += [f"page {each} by OCR" for each in progress.get("pages_recognised", ())]
    return f"searchable ({', '.join(facts)})"


def test_each_of_fifty_hostile_files_is_searchable_or_gets_one_clear_reason(rag: Rag) -> None:
    client = rag.client("hostile")
    store = client.vector_stores.create(name="hostile").id
    sent = {
        client.files.create(file=(each.name, each.content), purpose="assistants").id: each for each in files()
    }
    assert len(sent) == 50
    batch = client.vector_stores.file_batches.create_and_poll(
        store, file_ids=list(sent), poll_interval_ms=500
    )
    got = [row(Path(each.name).name, told(client, store, each, file_id)) for file_id, each in sent.items()]
    bad = sum(bool(each.reason) for each in sent.values())
    assert (batch.file_counts.completed, batch.file_counts.failed) == (50 - bad, bad)
    hits = client.vector_stores.search(store, query="加班工资不低于工资的多少", max_num_results=20)
    assert SAID in hits.data[0].content[0].text
    assert not any(
        "忽略以上所有指令" in each.content[0].text for each in hits if each.filename == "hidden.html"
    )
    assert "Traceback" not in rag.log.read_text()
    written = TABLE.read_text(encoding="utf-8").splitlines()
    assert [each for each in got if each not in written] == [], "write these rows into " + TABLE.name
