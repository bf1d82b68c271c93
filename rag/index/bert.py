"""Sentence models of the BERT family through ONNX Runtime, run from their own files.

PyTorch and what reads models for it take many seconds and much memory to begin with. Here only what the family
needs is read, and nothing is converted or kept: matrices and word vectors are the bytes of the model's file, mapped
into memory, which processes share.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rag.index.layers import Layers, Tensors, Vectors

LONGEST = 512
"""Tokens: no model is fed more at once, for vectors of longer windows blur and cost much more."""

_FAMILY = {"bert": 0, "roberta": 1, "xlm-roberta": 1}
"""Model types, and how far behind the padding's position their texts begin; 0 where they begin at the first."""
_POOLING = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
_NUMBERS = {"F32": "<f4", "F16": "<f2"}
_WORDS = "embeddings.word_embeddings.weight"
_TOKENS_AT_ONCE = 512
"""Of a batch: fewer read the matrices from memory too often, more leave the processor's caches and are padded more."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a folder tells of its model. `first` is the position of a text's first token; `lower`, whether capitals
    are made small first."""

    layers: int
    heads: int
    epsilon: float
    first: int
    longest: int
    pooling: str  # "mean" or "cls"
    lower: bool


class Bert:
    """A model of the family. May be called from any thread."""

    def __init__(
        self, root: Path, shape: Shape, query: str, passage: str, threads: int = 1, at_once: int = 1
    ) -> None:
        """`root` has weights and tokenizer. `threads` compute a batch together; of many texts, `at_once` batches are
        computed at a time. Raises KeyError where the weights are not the family's."""
        from tokenizers import Tokenizer

        tensors = _tensors(root / "model.safetensors")
        self._words = tensors[_WORDS]
        places = tensors["embeddings.position_embeddings.weight"][shape.first : shape.first + shape.longest]
        self._places = (places + tensors["embeddings.token_type_embeddings.weight"][0]).astype(np.float32)
        self._layers = Layers(tensors, shape.layers, shape.heads, shape.epsilon, threads)
        self._shape, self._query, self._passage, self._at_once = shape, query, passage, at_once
        self.tokenizer = str(root / "tokenizer.json")
        self._tokenizer: Any = Tokenizer.from_file(self.tokenizer)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.max_tokens = shape.longest
        self.dimensions = int(self._words.shape[1])

    def count(self, text: str) -> int:
        """The number of tokens of `text`, without prefix and special tokens."""
        return len(self._tokenizer.encode(self._cased(text), add_special_tokens=False).ids)

    def queries(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per question, as rows."""
        return self._rows([self._cased(self._query + each) for each in texts])

    def passages(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per passage, as rows."""
        return self._rows([self._cased(self._passage + each) for each in texts])

    def _cased(self, text: str) -> str:
        return text.lower() if self._shape.lower else text

    def _rows(self, texts: Sequence[str]) -> Vectors:
        rows = np.empty((len(texts), self.dimensions), np.float32)
        tokens = [self._cut(each) for each in self._tokenizer.encode_batch(texts)]
        batches = list(_batches([len(each) for each in tokens]))

        def fill(batch: Sequence[int]) -> None:
            rows[batch] = self._vectors([tokens[each] for each in batch])

        if self._at_once == 1 or len(batches) < 2:
            for each in batches:
                fill(each)
        else:
            with ThreadPoolExecutor(self._at_once) as pool:
                list(pool.map(fill, batches))
        return rows

    def _cut(self, encoded: Any) -> list[int]:
        """A text's tokens, no more than the model takes; the special ones at its end stay."""
        ids: list[int] = encoded.ids
        if len(ids) <= self.max_tokens:
            return ids
        special = encoded.special_tokens_mask
        last = next((at for at, mark in enumerate(reversed(special)) if not mark), 0)
        return ids[: self.max_tokens - last] + ids[len(ids) - last :]

    def _vectors(self, tokens: Sequence[Sequence[int]]) -> Vectors:
        """The unit vectors of one batch."""
        lengths = np.array([len(each) for each in tokens], np.int32)
        words = np.zeros((len(tokens), lengths.max(), self.dimensions), np.float32)
        for row, each in zip(words, tokens, strict=True):
            row[: len(each)] = self._words[each]
            row[: len(each)] += self._places[: len(each)]
        states = self._layers.states(words, lengths)
        if self._shape.pooling == "cls":
            pooled = states[:, 0]
        else:
            pooled = np.stack([each[:length].mean(0) for each, length in zip(states, lengths, strict=True)])
        unit: Vectors = pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
        return unit


def open_bert(folder: Path, query: str, passage: str, threads: int, at_once: int) -> Bert | None:
    """The sentence-transformers model in `folder`; None where it is not plainly of the family. `query` and `passage` are
    what its texts begin with. Raises OSError and ValueError where a file is damaged."""
    modules = _document(folder / "modules.json")
    root = folder / (modules[0]["path"] if modules else "")
    if not modules or not all((root / each).exists() for each in ("model.safetensors", "tokenizer.json")):
        return None
    shape = _shape(folder, root, modules)
    try:
        return Bert(root, shape, query, passage, threads, at_once) if shape else None
    except KeyError:  # a tensor that the family has is missing, or its numbers are of another kind
        return None


def _shape(folder: Path, root: Path, modules: Sequence[Mapping[str, str]]) -> Shape | None:
    kinds = [each["type"].rpartition(".")[2] for each in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return None
    config, own = _document(root / "config.json"), _document(root / "sentence_bert_config.json") or {}
    pooling = _pooling(_document(folder / modules[1]["path"] / "config.json") or {})
    if config.get("model_type") not in _FAMILY or config.get("hidden_act") != "gelu" or pooling is None:
        return None
    if config.get("position_embedding_type", "absolute") != "absolute" or config.get("is_decoder"):
        return None
    behind = _FAMILY[config["model_type"]]
    first = config["pad_token_id"] + behind if behind else 0
    tokenizer = _document(root / "tokenizer_config.json") or {}
    bounds = (own.get("max_seq_length"), tokenizer.get("model_max_length"))
    return Shape(
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        epsilon=config["layer_norm_eps"],
        first=first,
        longest=min(
            LONGEST, config["max_position_embeddings"] - first, *(int(each) for each in bounds if each)
        ),
        pooling=pooling,
        lower=bool(own.get("do_lower_case")),
    )


def _pooling(config: Mapping[str, Any]) -> str | None:
    """`mean` or `cls` where that is all that makes one vector of the tokens'."""
    modes = [config["pooling_mode"]] if "pooling_mode" in config else [
        _POOLING.get(key, key) for key, value in config.items() if key.startswith("pooling_mode_") and value
    ]  # fmt: skip
    if len(modes) != 1 or modes[0] not in _POOLING.values() or not config.get("include_prompt", True):
        return None
    return str(modes[0])


def _document(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _tensors(path: Path) -> Tensors:
    """The tensors of a safetensors file, mapped into memory, under the names that they have in a BertModel by itself."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(size))
    header.pop("__metadata__", None)
    raw = np.memmap(path, np.uint8, "r", offset=8 + size).view(np.ndarray)
    before = next((each.removesuffix(_WORDS) for each in header if each.endswith(_WORDS)), "")
    found = {}
    for name, each in header.items():
        if each["dtype"] in _NUMBERS:
            start, end = each["data_offsets"]
            values = raw[start:end].view(_NUMBERS[each["dtype"]])
            found[name.removeprefix(before)] = values.reshape(each["shape"])
    return found


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Which texts are computed together: those of about one length; the longest first, so that in the end nobody waits."""
    batch: list[int] = []
    for at in sorted(range(len(lengths)), key=lambda each: -lengths[each]):
        if batch and lengths[batch[0]] * (len(batch) + 1) > _TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch
