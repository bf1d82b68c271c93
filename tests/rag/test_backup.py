"""A backup of a working document process comes back elsewhere as documents that are found and read."""

import threading
from pathlib import Path

from tests.processes import praxis
from tests.rag.conftest import Rag


def test_documents_come_back_searchable(rag: Rag, model: Path, tmp_path: Path) -> None:
    client = rag.client("firm")
    store = client.vector_stores.create(name="cases")
    content = "加班费的支付凭证由用人单位保存。".encode()
    file = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("case.txt", content), poll_interval_ms=100
    )
    assert file.status == "completed"
    shared = rag.request(
        "PUT", f"/v1/vector_stores/{store.id}/shares", tenant="firm", json={"tenant": "guest"}
    )
    assert shared.status_code == 200
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            passing = client.files.create(file=("passing.txt", b"passing"), purpose="assistants")
            client.files.delete(passing.id)

    busy = threading.Thread(target=come_and_go)
    busy.start()
    try:
        taken = praxis("backup", str(tmp_path / "b.tar"), cwd=rag.folder)
    finally:
        stop.set()
        busy.join()
    assert taken.returncode == 0, taken.stderr
    refused = praxis("restore", str(tmp_path / "b.tar"), "--force", cwd=rag.folder)
    assert refused.returncode == 1
    assert "is using this state" in refused.stderr
    (tmp_path / "other").mkdir()
    other = Rag(tmp_path / "other", model)
    restored = praxis("restore", str(tmp_path / "b.tar"), cwd=other.folder)
    assert restored.returncode == 0, restored.stderr
    with other:
        again = other.client("firm")
        found = again.vector_stores.search(vector_store_id=store.id, query="谁保存加班费凭证？").data
        assert found[0].content[0].text in content.decode()
        assert again.files.content(file.id).read() == content
        assert other.client("guest").vector_stores.search(store.id, query="谁保存加班费凭证？").data
