"""The layers of a BERT model as a graph of ONNX Runtime's fused operators, over weights that lie where they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Tensors = Mapping[str, npt.NDArray[Any]]

_OPSET, _IR = 17, 8
_FUSED = "com.microsoft"


class Layers:
    """The layers of one model. May be called from any thread, and computes with `threads` of its own."""

    def __init__(self, tensors: Tensors, layers: int, heads: int, epsilon: float, threads: int) -> None:
        """`tensors` have the names of transformers' BertModel. Raises KeyError where one of them is missing."""
        import onnxruntime

        graph = _Graph(tensors)
        model = _model(graph, _last(graph, layers, heads, epsilon))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that wait by turning would take the processor from the rest of a search.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._matrices = graph.matrices  # the session reads them where they are
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(each) for each in graph.matrices.values()]
        options.add_external_initializers(list(graph.matrices), values)
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def states(self, words: Vectors, lengths: npt.NDArray[np.int32]) -> Vectors:
        """What the last layer makes of `words` (texts, tokens, size), vectors of words with those of their places, of
        which each text has as many as `lengths` says; what is behind them is without meaning, before and after."""
        found: Vectors = self._session.run(None, {"words": words, "lengths": lengths})[0]
        return found


class _Graph:
    """A graph in the making: its nodes, and the weights that they name; matrices stay outside."""

    def __init__(self, tensors: Tensors) -> None:
        self.tensors = tensors
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.matrices: dict[str, Vectors] = {}

    def node(self, kind: str, *inputs: str, domain: str = _FUSED, **attributes: Any) -> str:
        """Another node; its output's name."""
        from onnx import helper

        output = f"{kind}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], domain=domain, **attributes))
        return output

    def vector(self, *names: str) -> str:
        """The tensors of these names, one after another, as a weight."""
        from onnx import numpy_helper

        values = np.concatenate([np.asarray(self.tensors[each], np.float32) for each in names])
        self.weights.append(numpy_helper.from_array(values, names[0]))
        return names[0]

    def times(self, state: str, name: str) -> str:
        """`state` multiplied by a matrix that stands as (outputs, inputs)."""
        from onnx import TensorProto

        matrix = np.asarray(self.tensors[name], np.float32)
        weight = TensorProto(name=name, dims=matrix.shape, data_type=TensorProto.FLOAT)
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value="outside")
        self.weights.append(weight)
        self.matrices[name] = matrix
        return self.node("FusedMatMul", state, name, transB=1)


def _last(graph: _Graph, layers: int, heads: int, epsilon: float) -> str:
    """All layers; the name of what the last one gives."""
    first = "embeddings.LayerNorm"
    norm = (graph.vector(f"{first}.weight"), graph.vector(f"{first}.bias"))
    state = graph.node("LayerNormalization", "words", *norm, domain="", axis=-1, epsilon=epsilon)
    for number in range(layers):
        at = f"encoder.layer.{number}"
        parts = [f"{at}.attention.self.{each}" for each in ("query", "key", "value")]
        asked = [graph.times(state, f"{each}.weight") for each in parts]
        bias = graph.vector(*(f"{each}.bias" for each in parts))
        seen = graph.node("MultiHeadAttention", *asked, bias, "lengths", num_heads=heads)
        state = _added(graph, seen, state, f"{at}.attention.output", epsilon)
        inner = graph.times(state, f"{at}.intermediate.dense.weight")
        inner = graph.node("BiasGelu", inner, graph.vector(f"{at}.intermediate.dense.bias"))
        state = _added(graph, inner, state, f"{at}.output", epsilon)
    return state


def _added(graph: _Graph, inner: str, state: str, at: str, epsilon: float) -> str:
    """What a part of a layer gives, added to what it was given, and normalised."""
    outer = graph.times(inner, f"{at}.dense.weight")
    names = (f"{at}.LayerNorm.weight", f"{at}.LayerNorm.bias", f"{at}.dense.bias")
    weights = [graph.vector(each) for each in names]
    return graph.node("SkipLayerNormalization", outer, state, *weights, epsilon=epsilon)


def _model(graph: _Graph, last: str) -> bytes:
    from onnx import TensorProto, helper

    shape = ["texts", "tokens", graph.tensors["embeddings.LayerNorm.weight"].shape[0]]
    inputs = [
        helper.make_tensor_value_info("words", TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("lengths", TensorProto.INT32, ["texts"]),
    ]
    outputs = [helper.make_tensor_value_info(last, TensorProto.FLOAT, shape)]
    made = helper.make_graph(graph.nodes, "layers", inputs, outputs, graph.weights)
    sets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_FUSED, 1)]
    model: bytes = helper.make_model(made, opset_imports=sets, ir_version=_IR).SerializeToString()
    return model
