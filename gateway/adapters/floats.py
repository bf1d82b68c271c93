"""The numbers of tensors in safetensors files, a block at a time by numpy: neither torch nor a whole model in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gateway.adapters.tensors import FLOATS, Tensor
from praxis.errors import InvalidRequest

Floats = NDArray[np.float32]


def rows(tensor: Tensor, first: int, count: int) -> Floats:
    """`count` rows from `first` on as float32, shape (count, *rest). Raises InvalidRequest for a type that is no plain float."""
    if tensor.dtype not in FLOATS:
        raise InvalidRequest(
            f"`{tensor.file}` holds `{tensor.name}` as {tensor.dtype}; only F32, F16 and BF16 can be computed with.",
            param="source",
        )
    wide = FLOATS[tensor.dtype] * tensor.width
    with tensor.file.open("rb") as file:
        file.seek(tensor.start + first * wide)
        raw = file.read(count * wide)
    return _widen(raw, tensor.dtype).reshape(-1, *tensor.shape[1:])


def whole(tensor: Tensor) -> Floats:
    """All of it, as float32."""
    return rows(tensor, 0, tensor.shape[0] if tensor.shape else 1).reshape(tensor.shape)


def is_finite(tensor: Tensor) -> bool:
    """Whether it holds neither NaN nor infinity."""
    return all(bool(np.isfinite(rows(tensor, first, count)).all()) for first, count in tensor.blocks())


def narrow(values: Floats, dtype: str) -> bytes:
    """`values` in `dtype` as a file holds them, each rounded to the nearest, ties to even."""
    if dtype == "BF16":
        bits = np.ascontiguousarray(values, dtype="<f4").view("<u4")
        rounded = (bits + (((bits >> np.uint32(16)) & np.uint32(1)) + np.uint32(0x7FFF))) >> np.uint32(16)
        return bytes(rounded.astype("<u2").data)
    kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
    with np.errstate(over="ignore"):  # the caller looks for infinities itself
        return bytes(np.ascontiguousarray(values.astype(kinds[dtype])).data)


def _widen(raw: bytes, dtype: str) -> Floats:
    if dtype == "BF16":
        return (np.frombuffer(raw, "<u2").astype("<u4") << np.uint32(16)).view("<f4")
    kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
    return np.frombuffer(raw, kinds[dtype]).astype(np.float32)
