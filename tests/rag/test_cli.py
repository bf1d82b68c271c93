"""`praxis knowledge …` against a real gateway and a real document process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Gateway, eventually, praxis
from tests.rag import documents
from tests.rag.conftest import SAMPLES, Rag


@pytest.fixture(scope="module")
def gateway(rag: Rag, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = (
        "backends: {local: {kind: openai, replicas: [http://127.0.0.1:9]}}\n"
        "models: {base: {backend: local, upstream: base}}\n"
        f"rag: {{url: '{rag.url}'}}\n"
    )
    with Gateway(tmp_path_factory.mktemp("gateway"), config) as process:
        eventually(lambda: process.get("/v1/files").status_code == 200, "the gateway reaches rag")
        yield process


def test_a_knowledge_base_is_made_filled_searched_and_removed(gateway: Gateway, tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        done = praxis(
            "knowledge",
            *arguments,
            cwd=tmp_path,
            PRAXIS_API_KEY=gateway.user_key,
            PRAXIS_GATEWAY_URL=gateway.url,
        )
        return done.returncode, done.stdout + done.stderr

    bad = tmp_path / "scan.pdf"
    bad.write_bytes(documents.scanned())
    good = str(SAMPLES / "工资支付暂行规定.txt")
    assert "is made: vs_" in run("create", "wages")[1]
    assert "there already" in run("create", "wages")[1]
    status, said = run("add", "wages", good, str(bad))
    assert status == 1
    assert "工资支付暂行规定.txt: searchable" in said
    assert "scan.pdf: not taken. The PDF has no text: no text layer" in said
    assert run("add", "wages", good)[0] == 0
    assert run("list", "wages")[1].count("工资支付暂行规定.txt") == 1
    assert "wages  files=1/1" in run("list")[1]
    assert (
        "工资支付暂行规定 第十三条" in run("search", "wages", "工资支付暂行规定第十三条", "--limit", "1")[1]
    )
    assert run("rebuild", "wages")[1].strip() == "wages: 1 of 1 files are searchable."
    assert run("remove", "wages", "工资支付暂行规定.txt", "--yes")[1].strip() == "1 files deleted."
    assert run("search", "wages", "工资")[1].strip() == "Nothing was found."
    assert run("remove", "wages", "--yes")[0] == 0
    assert run("search", "wages", "工资") == (
        1,
        "There is no knowledge base `wages`; `praxis knowledge create wages` makes it.\n",
    )


def test_a_gateway_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    done = praxis("knowledge", "list", "--url", "http://127.0.0.1:9", cwd=tmp_path)
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "praxis up" in done.stderr
