"""The samples of a first start, put into a running document process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from praxis.config import Config, load
from praxis.up.first_start import KNOWLEDGE, Samples
from tests.rag.conftest import SECRET, Rag

LAW = "中华人民共和国示例法\n\n第一条 为了示范，制定本法。\n\n第二条 示例应当简短。\n"


def write(folder: Path, state: str, rag: Rag) -> Config:
    file = folder / "models.yaml"
    file.write_text(
        f"state: sqlite:///{folder / state}\n"
        "backends: {local: {kind: openai, replicas: [http://127.0.0.1:9]}}\n"
        "models: {base: {backend: local, upstream: base}}\n"
        f"assistants: {{labour: {{model: base, knowledge: [{KNOWLEDGE}]}}}}\n"
        f'rag: {{url: "{rag.url}"}}\n'
    )
    return load(file)


@pytest.fixture
def rag(tmp_path: Path, model: Path) -> Iterator[Rag]:
    """One of its own: the others' operator has a knowledge base of that name."""
    folder = tmp_path / "rag"
    folder.mkdir()
    with Rag(folder, model) as process:
        yield process


@pytest.mark.timeout(400)
def test_each_state_gets_the_samples_once(rag: Rag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRAXIS_RAG_SECRET", SECRET)
    samples = tmp_path / "samples"
    samples.mkdir()
    (samples / "示例法.txt").write_text(LAW)
    first = Samples(write(tmp_path, "first.db", rag), samples)
    assert first.needed()
    first.fill(lambda text, fraction=None: None, lambda: None)
    assert not first.needed()
    client = rag.client("operator")
    (store,) = [each for each in client.vector_stores.list() if each.name == KNOWLEDGE]
    assert store.file_counts.completed == 1

    # The operator deletes them for good; a new state has never had them.
    client.vector_stores.delete(store.id)
    assert not Samples(write(tmp_path, "first.db", rag), samples).needed()
    again = Samples(write(tmp_path, "second.db", rag), samples)
    assert again.needed()
    again.fill(lambda text, fraction=None: None, lambda: None)
    (store,) = [each for each in client.vector_stores.list() if each.name == KNOWLEDGE]
    assert store.file_counts.completed == 1
    client.vector_stores.delete(store.id)
