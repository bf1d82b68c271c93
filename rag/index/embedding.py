"""Texts to vectors: LlamaIndex's HuggingFaceEmbedding with the right model, prefixes and limits.

LlamaIndex adds a model's prefixes only for a dozen literal hub names and never for a folder, and vectors made with
the wrong ones are silently worse: hence the registry here, and the fingerprint that an index remembers.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from praxis.config import Config
from praxis.errors import ConfigError, Problem
from rag.index import e5
from rag.index.encoder import open_encoder

Vectors = npt.NDArray[np.float32]

_BATCH = 16
_LONGEST = 512
"""Tokens: no model is fed more at once, for vectors of longer windows blur and cost much more."""


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
    """One embedding model, loaded once. Its methods block and may be called from any thread.

    Questions go before documents: a batch of a document waits while a question is being embedded, never longer
    than one batch the other way round.
    """

    def __init__(self, model: str, name: str, manner: Manner, exports: Path | None = None) -> None:
        """`exports` is where what is made for questions is kept, if anywhere."""
        from llama_index.embeddings.huggingface import HuggingFaceEmbedding  # type: ignore[import-untyped]
        from transformers.utils import logging

        # Loading draws a bar and tells of the pooling layer that these models do not use.
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        self.name = name
        self.manner = manner
        self.llama = HuggingFaceEmbedding(
            model_name=model,
            query_instruction=manner.query,
            text_instruction=manner.passage,
            normalize=True,
            embed_batch_size=_BATCH,
        )
        self._tokenizer: Any = self.llama._model.tokenizer
        self.max_tokens = min(self.llama.max_length or _LONGEST, _LONGEST)
        self.llama._model.max_seq_length = self.max_tokens
        self._turn = threading.Lock()
        self._encoder = open_encoder(self.llama._model, exports) if exports else None
        self.dimensions = self.queries(["热身"]).shape[1]

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
        """The tokenizer as JSON, for a process that counts tokens itself; empty where it has no such form."""
        fast = getattr(self._tokenizer, "backend_tokenizer", None)
        return "" if fast is None else str(fast.to_str())

    def count(self, text: str) -> int:
        """The number of tokens of `text`, without prefix and special tokens."""
        return len(self._tokenizer.encode(text, add_special_tokens=False, verbose=False))

    def queries(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per question, as rows."""
        if self._encoder is None or not texts:
            return self._rows(texts, "query")
        return np.stack([self._encoder.vector(self._tokens(each)) for each in texts])

    def passages(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> Vectors:
        """One unit vector per passage, as rows; `progress` is told after each batch how many are done."""
        order = sorted(range(len(texts)), key=lambda each: len(texts[each]))
        rows = np.empty((len(texts), self.dimensions), np.float32)
        for at in range(0, len(order), _BATCH):
            batch = order[at : at + _BATCH]
            rows[batch] = self._rows([texts[each] for each in batch], "text")
            if progress:
                progress(at + len(batch))
        return rows

    def relevance(self, cosine: float) -> float:
        """A question-passage cosine of this model on the scale of 0 (nothing to do with it) to 1."""
        return float(min(1.0, max(0.0, (cosine - self.manner.unrelated) / self.span)))

    def _tokens(self, question: str) -> list[int]:
        text = self.manner.query + question
        tokens: list[int] = self._tokenizer(text, truncation=True, max_length=self.max_tokens)["input_ids"]
        return tokens

    def _rows(self, texts: Sequence[str], prompt: str) -> Vectors:
        if not texts:
            return np.empty((0, self.dimensions), np.float32)
        with self._turn:
            return np.asarray(self.llama._embed(list(texts), prompt_name=prompt), np.float32)


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
        return Embedder(model, name, chosen, _exports(config, model))
    except (OSError, ValueError) as error:
        fix = "give a folder or a hub name that this machine can download"
        raise _unusable(
            config, f"`{wanted.model}` cannot be loaded ({str(error).splitlines()[0]}); {fix}"
        ) from error


def _exports(config: Config, model: str) -> Path:
    """Beside the model where that can be written, so that all who use it share what is made once."""
    if os.path.isdir(model) and os.access(model, os.W_OK):
        return Path(model)
    (config.home / "models").mkdir(parents=True, exist_ok=True)
    return config.home / "models"


def _is_folder(model: str) -> bool:
    return model.startswith((".", "/", "~")) or model.count("/") != 1 or os.path.isdir(model)


def _unusable(config: Config, message: str) -> ConfigError:
    return ConfigError(str(config.path), [Problem(None, "rag.embedding.model", message)])
