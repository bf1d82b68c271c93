"""An optional second look: a cross-encoder reads the question together with each of the passages found first."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from praxis.config import Config
from praxis.errors import ConfigError, Problem

_LONGEST = 512
_BATCH = 16


class Reranker:
    """One cross-encoder, loaded once; `depth` is how many passages it reads for a question. May be called from any
    thread."""

    def __init__(self, model: str, depth: int) -> None:
        from sentence_transformers import CrossEncoder

        self.depth = depth
        self._model: Any = CrossEncoder(model, max_length=_LONGEST)
        self._turn = threading.Lock()

    def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        """How well each passage answers, 0 to 1."""
        import torch

        pairs = [(question, each) for each in passages]
        with self._turn:
            found = self._model.predict(pairs, batch_size=_BATCH, activation_fn=torch.nn.Sigmoid())
        return [float(each) for each in found]


def open_reranker(config: Config) -> Reranker | None:
    """The reranker that models.yaml asks for, if any. Raises ConfigError when it cannot be loaded."""
    wanted = config.rag.reranker
    if wanted is None:
        return None
    local = config.resolve(Path(wanted.model))
    try:
        return Reranker(str(local) if local.is_dir() else wanted.model, wanted.depth)
    except (OSError, ValueError) as error:
        fix = "give the folder of a cross-encoder or a hub name that this machine can download"
        message = f"`{wanted.model}` cannot be loaded ({str(error).splitlines()[0]}); {fix}"
        raise ConfigError(str(config.path), [Problem(None, "rag.reranker.model", message)]) from error
