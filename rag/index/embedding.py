"""Texts to vectors, with the right model, prefixes and limits.

LlamaIndex adds a model's prefixes only for a dozen literal hub names and never for a folder, and vectors made with
the wrong ones are silently worse: hence the registry here, and the fingerprint that an index remembers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from praxis.config import Config
from praxis.errors import ConfigError, Problem
from rag.index import e5
from rag.index.layers import Vectors as Vectors
from rag.index.model import cores, open_model


@dataclass(frozen=True, slots=True)
class Manner:
    """How a family of models wants to be used.

    `unrelated` and `same` are the cosines that it gives to texts that have nothing to do with each other and to
    a question and its answer; between them a cosine is worth 0 to 1.
    """

    query: str = ""
    passage: str = ""
    unrelated: float = 0.0
    same: float = 1.0


_BGE_ZH = "为这个句子生成表示以用于检索相关文章："
_BGE_EN = "Represent this sentence for searching relevant passages: "
_QWEN = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"

# The first pattern found in the model's last path part decides.
_MANNERS: tuple[tuple[str, Manner], ...] = (
    (r"e5-.*instruct", Manner(_QWEN, "", 0.70, 0.95)),
    (r"(^|-)e5-", Manner("query: ", "passage: ", 0.80, 0.95)),
    (r"bge-m3", Manner("", "", 0.30, 0.80)),
    (r"bge-.*-zh", Manner(_BGE_ZH, "", 0.30, 0.80)),
    (r"bge-.*-en", Manner(_BGE_EN, "", 0.40, 0.85)),
    (r"qwen3-embedding", Manner(_QWEN, "", 0.10, 0.80)),
    (r"nomic-embed", Manner("search_query: ", "search_document: ", 0.40, 0.85)),
    (r"gte-|m3e-|text2vec|minilm|mpnet", Manner("", "", 0.10, 0.85)),
)


def manner(name: str) -> Manner:
    """The manner of the model called `name`; no prefix at all for one that is not known."""
    last = Path(name).name.lower()
    return next((each for pattern, each in _MANNERS if re.search(pattern, last)), Manner())


class Embedder:
    """One embedding model, loaded once. Its methods block and may be called from any thread."""

    def __init__(self, model: str, name: str, manner: Manner) -> None:
        """`model` is a folder or a hub name. Raises OSError and ValueError when it cannot be loaded."""
        self.model = model
        self.name = name
        self.manner = manner
        self._opened = open_model(model, manner.query, manner.passage, threads=cores())
        self.max_tokens = self._opened.max_tokens
        self.dimensions = self._opened.dimensions

    @property
    def fingerprint(self) -> str:
        """What a stored vector must have been made with to be comparable with this model's."""
        return f"{self.name}|{self.dimensions}|{self.manner.query}|{self.manner.passage}|normalised"

    @property
    def span(self) -> float:
        """The difference between the cosines of texts that say the same and of unrelated ones."""
        return self.manner.same - self.manner.unrelated

    @property
    def tokenizer(self) -> str:
        """The tokenizer, for a process that counts tokens itself: the path of its file, or itself as JSON; empty where it
        has no such form."""
        return self._opened.tokenizer

    def count(self, text: str) -> int:
        """The number of tokens of `text`, without prefix and special tokens."""
        return self._opened.count(text)

    def queries(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per question, as rows."""
        return self._opened.queries(texts)

    def passages(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per passage, as rows."""
        return self._opened.passages(texts)

    def relevance(self, cosine: float) -> float:
        """A question-passage cosine of this model on the scale of 0 (nothing to do with it) to 1."""
        return float(min(1.0, max(0.0, (cosine - self.manner.unrelated) / self.span)))


def open_embedder(config: Config, wheel: Callable[[], Path]) -> Embedder:
    """The embedder that models.yaml asks for; `wheel` gives the package of the embedded one when it is needed.

    Raises ConfigError when a folder does not exist or is no sentence-transformers model, or a hub name cannot be had.
    """
    wanted = config.rag.embedding
    model, name = wanted.model, wanted.public_name
    if model == "embedded":
        folder = config.home / "models" / e5.NAME
        model = str(folder if (folder / "modules.json").exists() else e5.unpack(wheel(), folder))
    elif _is_folder(model):
        model = str(config.resolve(Path(model)))
        if not (Path(model) / "config.json").exists():
            raise _unusable(
                config, f"`{model}` is no sentence-transformers model; name a folder with a `config.json`"
            )
    known = manner(name)
    chosen = Manner(
        known.query if wanted.query_prefix is None else wanted.query_prefix,
        known.passage if wanted.passage_prefix is None else wanted.passage_prefix,
        known.unrelated,
        known.same,
    )
    try:
        return Embedder(model if os.path.isdir(model) else _downloaded(model), name, chosen)
    except (OSError, ValueError) as error:
        fix = "give a folder or a hub name that this machine can download"
        raise _unusable(
            config, f"`{wanted.model}` cannot be loaded ({str(error).splitlines()[0]}); {fix}"
        ) from error


def _downloaded(name: str) -> str:
    """The folder of a model of the hub, from where LlamaIndex keeps them."""
    from huggingface_hub import snapshot_download
    from llama_index.core.utils import get_cache_dir

    # The same weights lie there in several forms: safetensors are taken, and others only where there are none.
    forms = ["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.msgpack", "*.ot", "*.gguf"]
    folder = snapshot_download(name, cache_dir=get_cache_dir(), ignore_patterns=[*forms, "*.bin", "*.pt"])
    if not any(Path(folder).rglob("*.safetensors")):
        folder = snapshot_download(name, cache_dir=get_cache_dir(), ignore_patterns=forms)
    return folder


def _is_folder(model: str) -> bool:
    return model.startswith((".", "/", "~")) or model.count("/") != 1 or os.path.isdir(model)


def _unusable(config: Config, message: str) -> ConfigError:
    return ConfigError(str(config.path), [Problem(None, "rag.embedding.model", message)])
