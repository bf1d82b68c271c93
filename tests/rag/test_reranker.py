"""A cross-encoder named in models.yaml decides the order of what was found, and its scores are the hits'."""

from pathlib import Path

import pytest

from praxis.config import load
from praxis.errors import ConfigError
from rag.index.reranker import Reranker, open_reranker
from tests.rag.conftest import SAMPLES, Rag


@pytest.fixture(scope="module")
def cross_encoder(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A very small one, with weights by chance and the tokenizer at hand: it knows nothing, but always the same."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("reranker")
    tokenizer = AutoTokenizer.from_pretrained(model)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=1,
        initializer_range=1.0,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_the_reranker_orders_what_was_found(model: Path, cross_encoder: Path, tmp_path: Path) -> None:
    process = Rag(tmp_path, model)
    text = process.file.read_text().replace("rag: {", f"rag: {{reranker: {{model: {cross_encoder}}}, ")
    process.file.write_text(text)
    with process:
        client = process.client()
        store = client.vector_stores.create(name="wages")
        client.vector_stores.files.upload_and_poll(
            vector_store_id=store.id,
            file=("工资支付暂行规定.txt", (SAMPLES / "工资支付暂行规定.txt").read_bytes()),
            poll_interval_ms=100,
        )
        hits = client.vector_stores.search(store.id, query="工资什么时候发", max_num_results=5).data
        named = client.vector_stores.search(
            store.id, query="工资支付暂行规定第十三条", max_num_results=5
        ).data
    assert len(hits) == 5
    texts = [f"{each.attributes['law']} {each.content[0].text}" for each in hits if each.attributes]
    expected = Reranker(str(cross_encoder), 30).scores("工资什么时候发", texts)
    assert [each.score for each in hits] == pytest.approx(expected, abs=1e-4)
    assert expected == sorted(expected, reverse=True)
    assert named[0].attributes is not None
    assert (named[0].attributes["article"], named[0].score) == ("第十三条", 1.0)


def test_a_reranker_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(
        "backends: {local: {kind: openai, replicas: [http://127.0.0.1:9]}}\n"
        "models: {base: {backend: local, upstream: base}}\n"
        "rag: {reranker: {model: ./nothing-here}}\n"
    )
    with pytest.raises(ConfigError, match="nothing-here"):
        open_reranker(load(file))
