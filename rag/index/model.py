"""An embedding model by its folder or hub name, opened in the way that begins soonest and computes fastest."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from rag.index.bert import open_bert
from rag.index.layers import Vectors


class Model(Protocol):
    """A model that makes unit vectors, whose methods block and may be called from any thread."""

    dimensions: int
    max_tokens: int

    @property
    def tokenizer(self) -> str:
        """The tokenizer, for a process that counts tokens itself: the path of its file, or itself as JSON; empty where it
        has no such form."""

    def count(self, text: str) -> int:
        """The number of tokens of `text`, without prefix and special tokens."""

    def queries(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per question, as rows."""

    def passages(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per passage, as rows."""


def open_model(model: str, query: str, passage: str, *, threads: int = 1, at_once: int = 1) -> Model:
    """The model in the folder `model` or of that hub name, with what its questions and passages begin with.

    Where PyTorch is not needed, `threads` compute a batch of texts, and `at_once` batches are computed at a time.
    Raises OSError and ValueError when it cannot be loaded.
    """
    if Path(model).is_dir() and not accelerated():
        found = open_bert(Path(model), query, passage, threads, at_once)
        if found is not None:
            return found
    from rag.index.stock import Stock

    return Stock(model, query, passage)


def cores() -> int:
    """How many threads this process is to compute with, as PyTorch takes them."""
    return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))


def accelerated() -> bool:
    """Whether PyTorch may find a GPU here; asking itself would take seconds."""
    devices = ("/dev/nvidiactl", "/dev/kfd")
    return any(map(os.path.exists, devices)) and not version("torch").endswith("+cpu")
