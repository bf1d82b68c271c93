"""Questions through ONNX Runtime: one short text on one core in half of PyTorch's time, with the same vector.

Only the layers are exported; the word vectors stay where PyTorch holds them, for they are four fifths of a
multilingual model. A model that is not plain BERT with mean pooling is left to PyTorch.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Vectors = npt.NDArray[np.float32]

logger = logging.getLogger("praxis.rag")

_OPSET = 17
_FILE = "questions-{}.onnx"


class _Layers(nn.Module):  # type: ignore[misc]
    """A BERT model from word vectors (1, tokens, size) to the unit mean of its last layer (1, size).

    The stock model asks for masks and shapes in ways that the exporter does not follow; for one text it needs none.
    """

    def __init__(self, bert: Any) -> None:
        super().__init__()
        self.embeddings = bert.embeddings
        self.layers = bert.encoder.layer
        self.heads = bert.config.num_attention_heads

    def forward(self, words: Tensor) -> Tensor:
        known = self.embeddings
        places = known.position_embeddings.weight[: words.shape[1]]
        state = known.LayerNorm(words + places + known.token_type_embeddings.weight[0])
        for layer in self.layers:
            state = self._layer(layer, state)
        return nn.functional.normalize(state.mean(1), dim=1)

    def _layer(self, layer: Any, state: Tensor) -> Tensor:
        own, batch, size = layer.attention.self, state.shape[0], state.shape[2]

        def split(each: Tensor) -> Tensor:
            return each.view(batch, -1, self.heads, size // self.heads).transpose(1, 2)

        scores = split(own.query(state)) @ split(own.key(state)).transpose(-1, -2)
        weights = torch.softmax(scores / (size // self.heads) ** 0.5, -1)
        seen = (weights @ split(own.value(state))).transpose(1, 2).reshape(batch, -1, size)
        state = layer.attention.output.LayerNorm(layer.attention.output.dense(seen) + state)
        inner = nn.functional.gelu(layer.intermediate.dense(state))
        out: Tensor = layer.output.LayerNorm(layer.output.dense(inner) + state)
        return out


class Encoder:
    """One text's tokens to its unit vector. May be called from any thread."""

    def __init__(self, bert: Any, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        # Threads that wait by turning would take the processor from the rest of a search.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._words = bert.embeddings.word_embeddings.weight.detach().numpy()

    def vector(self, tokens: Sequence[int]) -> Vectors:
        """The unit vector of one text, special tokens included."""
        words = self._words[np.asarray(tokens)][np.newaxis]
        return np.asarray(self._session.run(None, {"words": words})[0][0], np.float32)


def open_encoder(model: Any, folder: Path) -> Encoder | None:
    """The encoder of a SentenceTransformer, exported to `folder` once; None where it is left to PyTorch."""
    from transformers import BertModel

    bert = getattr(model[0], "auto_model", None)
    if not isinstance(bert, BertModel) or not _means(model) or bert.device.type != "cpu":
        return None
    path = folder / _FILE.format(_digest(bert))
    try:
        if not path.exists():
            _export(bert, path)
        return Encoder(bert, path)
    except (OSError, RuntimeError) as error:
        logger.warning("questions are embedded by PyTorch", extra={"reason": str(error).splitlines()[0]})
        return None


def _means(model: Any) -> bool:
    """Whether the model ends in mean pooling and normalisation and nothing else."""
    kinds = [type(each).__name__ for each in model]
    if kinds != ["Transformer", "Pooling", "Normalize"]:
        return False
    return bool(model[1].get_config_dict().get("pooling_mode") == "mean")


def _digest(bert: Any) -> str:
    """What distinguishes one model's layers from another's: their first and last weights."""
    layers = bert.encoder.layer
    ends = (layers[0].attention.self.query.weight, layers[-1].output.dense.weight)
    raw = b"".join(each.detach().float().numpy().tobytes() for each in ends)
    return hashlib.sha256(raw).hexdigest()[:12]


def _export(bert: Any, path: Path) -> None:
    """Write the layers to `path`, whole or not at all."""
    sample = torch.zeros(1, 8, bert.config.hidden_size)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    os.close(handle)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _Layers(bert).eval(),
                (sample,),
                draft,
                input_names=["words"],
                output_names=["vector"],
                dynamic_axes={"words": {1: "tokens"}},
                opset_version=_OPSET,
                dynamo=False,
            )
        os.replace(draft, path)
    finally:
        Path(draft).unlink(missing_ok=True)
