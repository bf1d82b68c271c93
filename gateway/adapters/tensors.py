"""Where the tensors of safetensors files lie: names, types, shapes and bytes, without their numbers (gateway/adapters/floats.py).

A file is 8 bytes of length, that much JSON, then the tensors that the JSON lists (the format's own README).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from praxis.errors import InvalidRequest

INDEX = "model.safetensors.index.json"
FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""The types that can be computed with, each with its bytes."""

BLOCK = 64 * 2**20
"""Bytes of float32 that are held at a time."""

_HEADER_BYTES = 100 * 2**20  # the format's own limit
_WIDTHS = FLOATS | {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1}


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor lies: `start` and `size` in bytes of its file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    size: int

    @property
    def width(self) -> int:
        """Elements of one row, which is all but the first dimension."""
        return math.prod(self.shape[1:])

    def blocks(self) -> Iterator[tuple[int, int]]:
        """First row and number of rows of each block that fits into `BLOCK`."""
        total = self.shape[0] if self.shape else 1
        step = max(1, BLOCK // max(1, 4 * self.width))
        for first in range(0, total, step):
            yield first, min(step, total - first)


def tensors_of(path: Path) -> dict[str, Tensor]:
    """The tensors of one file by name, in the order in which they lie. Raises InvalidRequest when it is damaged."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(size - 8, _HEADER_BYTES):
            raise _damaged(path, "is no safetensors file or was cut short")
        try:
            header = json.loads(file.read(length))
            found = [
                _tensor(path, name, entry, 8 + length)
                for name, entry in header.items()
                if name != "__metadata__"
            ]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise _damaged(path, "has a damaged header") from None
    found.sort(key=lambda each: (each.start, each.size))
    end = 8 + length
    for tensor in found:
        if tensor.start != end:
            raise _damaged(path, "has a damaged header")
        end += tensor.size
    if end != size:
        raise _damaged(path, f"is {size} bytes where its header promises {end}")
    return {tensor.name: tensor for tensor in found}


def tensors_below(folder: Path) -> dict[str, Tensor]:
    """The tensors of a model's folder, whether one file or shards with an index, shard after shard.

    Raises InvalidRequest when the weights are missing, pickled or damaged.
    """
    names = ["model.safetensors"]
    if (index := folder / INDEX).is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise _damaged(index, "is no index of shards") from None
    found: dict[str, Tensor] = {}
    for name in names:
        if Path(name).name != name:
            raise _damaged(index, f"names a shard outside its folder (`{name}`)")
        if not (folder / name).is_file():
            raise InvalidRequest(
                f"`{folder / name}` is missing; give a model's folder with safetensors weights.",
                param="source",
            )
        found |= tensors_of(folder / name)
    return found


def _tensor(path: Path, name: str, entry: Any, data: int) -> Tensor:
    first, end = entry["data_offsets"]
    shape = tuple(int(each) for each in entry["shape"])
    dtype = str(entry["dtype"])
    fits = dtype not in _WIDTHS or end - first == _WIDTHS[dtype] * math.prod(shape)
    if not fits or not 0 <= first <= end or any(each < 0 for each in shape):
        raise ValueError
    return Tensor(name, dtype, shape, path, data + first, end - first)


def _damaged(path: Path, how: str) -> InvalidRequest:
    return InvalidRequest(f"`{path}` {how}; copy it again.", param="source")
