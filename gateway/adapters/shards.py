"""Writes a model's tensors as safetensors shards, a block of rows at a time, so that no model need fit into memory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.adapters.floats import Floats, narrow, rows, whole
from gateway.adapters.lora import Patch
from gateway.adapters.tensors import FLOATS, INDEX, Tensor
from praxis.errors import PraxisError

Wrote = Callable[[str, int], None]
"""Is told the tensor and how many bytes more of it are written."""

_COPY = 8 * 2**20
_LARGEST_F16 = 65_504.0


@dataclass(frozen=True, slots=True)
class Change:
    """What is added to a tensor: `scaling` times `b @ a` of `patch`, or, of a bias, the patch's own bias.

    `turned` says that the tensor lies as (in, out), as of embeddings and of GPT-2.
    """

    patch: Patch
    scaling: float
    turned: bool = False
    bias: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """A tensor to write: its `name` and `dtype`, where its values come from, and what changes them."""

    name: str
    source: Tensor
    dtype: str
    change: Change | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        if self.dtype == self.source.dtype:
            return self.source.size
        return self.source.size // FLOATS[self.source.dtype] * FLOATS[self.dtype]

    def blocks(self) -> Iterator[bytes]:
        """Its data, block by block. Raises PraxisError where a result cannot be held in `dtype`."""
        if self.change is None and self.dtype == self.source.dtype:
            yield from self._copied()
            return
        merged = _Merged(self.change) if self.change else None
        for first, count in self.source.blocks():
            values = rows(self.source, first, count)
            if merged is not None:
                values = merged.rows(values, first)
            limit = _LARGEST_F16 if self.dtype == "F16" else np.inf
            if not (np.isfinite(values).all() and np.abs(values).max(initial=0.0) <= limit):
                raise PraxisError(
                    f"`{self.name}` would hold a value that {self.dtype} cannot; merge with `--dtype bfloat16`, or "
                    "train the adapter again."
                )
            yield narrow(values, self.dtype)

    def _copied(self) -> Iterator[bytes]:
        left = self.source.size
        with self.source.file.open("rb") as file:
            file.seek(self.source.start)
            while left and (block := file.read(min(_COPY, left))):
                left -= len(block)
                yield block


class _Merged:
    """The rows of one tensor with an adapter's change in them, as PEFT computes it: in float32, rounded once."""

    def __init__(self, change: Change) -> None:
        patch = change.patch
        self._scaling = change.scaling
        self._bias = whole(patch.bias) if change.bias and patch.bias is not None else None
        a, b = (None, None) if change.bias else (whole(patch.a), whole(patch.b))
        if a is not None and b is not None:
            self._left, self._right = (a.T, b.T) if change.turned else (b, a)
        self._magnitude = (
            None if change.bias or patch.magnitude is None else whole(patch.magnitude).reshape(-1)
        )

    def rows(self, base: Floats, first: int) -> Floats:
        """The rows `base`, of which the first is number `first`, changed."""
        end = first + len(base)
        if self._bias is not None:
            return base + self._bias[first:end] * np.float32(self._scaling)
        merged = base + (self._left[first:end] @ self._right) * np.float32(self._scaling)
        if self._magnitude is not None:
            norm = np.linalg.norm(merged, axis=1)
            merged = merged * (self._magnitude[first:end] / norm)[:, np.newaxis]
        return merged


def names(count: int) -> list[str]:
    """The files of a model in `count` shards, named as transformers names them."""
    if count == 1:
        return ["model.safetensors"]
    return [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]


def split(items: Sequence[Item], limit: int) -> list[list[Item]]:
    """`items` in their order, as shards of at most `limit` bytes; a larger tensor has a shard to itself."""
    shards: list[list[Item]] = [[]]
    size = 0
    for item in items:
        if shards[-1] and size + item.size > limit:
            shards.append([])
            size = 0
        shards[-1].append(item)
        size += item.size
    return shards


def write_shard(path: Path, items: Sequence[Item], wrote: Wrote) -> None:
    """Write one shard; it has its name only once it is whole."""
    # Wider elements first, so that each tensor begins where its type may be read.
    ordered = sorted(items, key=lambda item: -_width(item.dtype))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for item in ordered:
        header[item.name] = {
            "dtype": item.dtype,
            "shape": item.source.shape,
            "data_offsets": [end, end + item.size],
        }
        end += item.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for item in ordered:
            for block in item.blocks():
                file.write(block)
                wrote(item.name, len(block))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def write_index(folder: Path, shards: Sequence[Sequence[Item]]) -> None:
    """Write which tensor lies in which shard, where there are several."""
    if len(shards) == 1:
        return
    files = dict(zip(names(len(shards)), shards, strict=True))
    index = {
        "metadata": {"total_size": sum(item.size for shard in shards for item in shard)},
        "weight_map": {item.name: name for name, shard in files.items() for item in shard},
    }
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _width(dtype: str) -> int:
    digits = "".join(each for each in dtype.partition("_")[0] if each.isdigit())
    return int(digits or 8) // 8
