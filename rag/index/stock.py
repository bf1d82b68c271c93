"""Any other sentence-transformers model, and all of them where there is a GPU: by PyTorch, as LlamaIndex loads it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from rag.index.bert import LONGEST
from rag.index.layers import Vectors

_BATCH = 16


class Stock:
    """LlamaIndex's HuggingFaceEmbedding with the prefixes and the window that we say. May be called from any thread.

    Questions go before documents: a batch of a document waits while a question is being embedded, never longer
    than one batch the other way round.
    """

    def __init__(self, model: str, query: str, passage: str) -> None:
        """`model` is a folder or a hub name. Raises OSError and ValueError when it cannot be loaded."""
        from llama_index.embeddings.huggingface import HuggingFaceEmbedding  # type: ignore[import-untyped]
        from transformers.utils import logging

        # Loading draws a bar and tells of the pooling layer that these models do not use.
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        self._llama = HuggingFaceEmbedding(
            model_name=model,
            query_instruction=query,
            text_instruction=passage,
            normalize=True,
            embed_batch_size=_BATCH,
        )
        self._tokenizer: Any = self._llama._model.tokenizer
        self.max_tokens = min(self._llama.max_length or LONGEST, LONGEST)
        self._llama._model.max_seq_length = self.max_tokens
        self._turn = threading.Lock()
        self.dimensions = self.queries(["热身"]).shape[1]

    @property
    def tokenizer(self) -> str:
        """See `rag.index.model.Model`."""
        fast = getattr(self._tokenizer, "backend_tokenizer", None)
        return "" if fast is None else str(fast.to_str())

    def count(self, text: str) -> int:
        """The number of tokens of `text`, without prefix and special tokens."""
        return len(self._tokenizer.encode(text, add_special_tokens=False, verbose=False))

    def queries(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per question, as rows."""
        return self._rows(texts, "query")

    def passages(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per passage, as rows."""
        order = sorted(range(len(texts)), key=lambda each: len(texts[each]))
        rows = np.empty((len(texts), self.dimensions), np.float32)
        for at in range(0, len(order), _BATCH):
            batch = order[at : at + _BATCH]
            rows[batch] = self._rows([texts[each] for each in batch], "text")
        return rows

    def _rows(self, texts: Sequence[str], prompt: str) -> Vectors:
        if not texts:
            return np.empty((0, self.dimensions), np.float32)
        with self._turn:
            return np.asarray(self._llama._embed(list(texts), prompt_name=prompt), np.float32)
