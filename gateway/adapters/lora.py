"""What a PEFT folder's two files say: the adapter's configuration, and the modules that its tensors change."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway.adapters.choice import CONFIG
from gateway.adapters.tensors import FLOATS, Tensor, tensors_of
from praxis.errors import InvalidRequest

WEIGHTS = "adapter_model.safetensors"
PICKLED = ("adapter_model.bin", "adapter_model.pt")

_CONFIG_BYTES = 2**20
_PREFIX = "base_model.model."
_PARTS = {
    "lora_A.weight": "a",
    "lora_B.weight": "b",
    "lora_embedding_A": "a",
    "lora_embedding_B": "b",
    "lora_B.bias": "bias",
    "lora_magnitude_vector": "magnitude",
    "lora_magnitude_vector.weight": "magnitude",
}
_PART = re.compile(rf"(.+)\.({'|'.join(re.escape(each) for each in _PARTS)})")


@dataclass(frozen=True, slots=True)
class Patch:
    """What an adapter does to one module: `b @ a`, scaled, is added to its weight. `a` is (rank, in), `b` (out, rank).

    `magnitude` is DoRA's; `bias` is added to the module's own, scaled too.
    """

    module: str
    a: Tensor
    b: Tensor
    embedding: bool
    magnitude: Tensor | None = None
    bias: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Lora:
    """An adapter: `settings` as in its adapter_config.json, its patches by module, and by the name of a base's
    tensor those that it brings whole (`modules_to_save`, biases, resized embeddings)."""

    folder: Path
    settings: Mapping[str, Any]
    patches: Mapping[str, Patch] = field(default_factory=dict)
    whole: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        """The largest of its modules' ranks."""
        return max(map(int, [self.settings["r"], *self._pattern("rank").values()]))

    def rank_of(self, module: str) -> int:
        return int(_matching(self._pattern("rank"), module, self.settings["r"]))

    def fused(self, module: str) -> bool:
        """Whether it adapts the fused weights of a layer's experts, of which PEFT stacks the ranks."""
        return bool(self.settings.get("target_parameters")) and ".experts" in module

    def scaling(self, module: str) -> float:
        """What PEFT multiplies `b @ a` of `module` with."""
        alpha = float(_matching(self._pattern("alpha"), module, self.settings["lora_alpha"]))
        rank = self.rank_of(module)
        return alpha / math.sqrt(rank) if self.settings.get("use_rslora") else alpha / rank

    @property
    def tensors(self) -> list[Tensor]:
        parts = [(each.a, each.b, each.magnitude, each.bias) for each in self.patches.values()]
        return [each for patch in parts for each in patch if each is not None] + list(self.whole.values())

    def _pattern(self, kind: str) -> dict[str, Any]:
        return self.settings.get(f"{kind}_pattern") or {}


def _matching(pattern: Mapping[str, Any], module: str, otherwise: Any) -> Any:
    """PEFT's rule: a key matches the end of a module's name from a dot on; the first that does wins."""
    for key, value in pattern.items():
        if re.match(rf"(.*\.)?({key})$", module):
            return value
    return otherwise


def read_lora(folder: Path) -> Lora:
    """Read both files of a PEFT folder, the weights by their header only. Raises InvalidRequest naming file and fix."""
    lora = Lora(folder, _settings(folder / CONFIG))
    weights = folder / WEIGHTS
    if not weights.is_file():
        for pickled in PICKLED:
            if (folder / pickled).is_file():
                raise wrong(
                    f"`{folder / pickled}` is pickled, which can run code when loaded; save the adapter again "
                    "with `safe_serialization=True`."
                )
        raise wrong(f"`{weights}` is missing; give the PEFT folder that training wrote.")
    tensors = tensors_of(weights)
    if not any(tensor.size for tensor in tensors.values()):
        raise wrong(f"`{weights}` holds no tensors; train the adapter again.")
    return _sorted(lora, weights, tensors)


def wrong(message: str) -> InvalidRequest:
    """An error of the adapter that came in."""
    return InvalidRequest(message, param="source")


def _settings(config: Path) -> dict[str, Any]:
    try:
        if config.stat().st_size > _CONFIG_BYTES:
            raise wrong(f"`{config}` is larger than 1 MiB, so it is no adapter's; save the adapter again.")
        data = json.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise wrong(f"`{config}` is missing; give the PEFT folder that training wrote.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise wrong(f"`{config}` cannot be read as JSON ({error}); save the adapter again.") from None
    if not isinstance(data, dict) or data.get("peft_type") != "LORA":
        raise wrong(
            f"`{config}` describes no LoRA (`peft_type` must be `LORA`); other kinds cannot be served."
        )
    _check_numbers(config, data)
    return data


def _check_numbers(config: Path, data: dict[str, Any]) -> None:
    rank = data.get("r")
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        raise wrong(f"`{config}` has no rank: `r` must be a positive whole number.")
    alpha = data.get("lora_alpha")
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not math.isfinite(alpha):
        raise wrong(f"`{config}` has no scale: `lora_alpha` must be a number.")
    for kind in ("rank", "alpha"):
        pattern = data.get(f"{kind}_pattern") or {}
        least = 1 if kind == "rank" else -math.inf
        if not isinstance(pattern, dict) or not all(
            isinstance(each, int | float) and each >= least for each in pattern.values()
        ):
            raise wrong(f"`{config}`: `{kind}_pattern` must map names of modules to numbers.")
        try:
            for key in pattern:
                re.compile(key)
        except re.error:
            raise wrong(f"`{config}`: `{key}` in `{kind}_pattern` is no regular expression.") from None


def _sorted(lora: Lora, weights: Path, tensors: Mapping[str, Tensor]) -> Lora:
    """Tell patches from whole tensors. Raises InvalidRequest where the parts of a patch do not fit together."""
    parts: dict[str, dict[str, Tensor]] = {}
    embeddings: set[str] = set()
    whole: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.dtype not in FLOATS:
            raise wrong(
                f"`{weights}` holds `{name}` as {tensor.dtype}; save the adapter in F32, F16 or BF16."
            )
        plain = name.removeprefix(_PREFIX)
        if match := _PART.fullmatch(plain):
            parts.setdefault(match[1], {})[_PARTS[match[2]]] = tensor
            if "embedding" in match[2]:
                embeddings.add(match[1])
        elif "lora_" in plain.rpartition(".")[0] or plain.startswith("lora_"):
            raise wrong(
                f"`{weights}` holds `{name}`, which is no part of a LoRA as PEFT saves it; save it again."
            )
        else:
            whole[plain.replace(".base_layer.", ".").replace(".modules_to_save.", ".")] = tensor
    for module, found in parts.items():
        _check_pair(lora, weights, module, found)
    patches = {
        module: Patch(module, embedding=module in embeddings, **found) for module, found in parts.items()
    }
    return replace(lora, patches=patches, whole=whole)


def _check_pair(lora: Lora, weights: Path, module: str, found: dict[str, Tensor]) -> None:
    for part in ("a", "b"):
        if part not in found:
            raise wrong(
                f"`{weights}` has half of `{module}`: its `lora_{part.upper()}` is missing; save it again."
            )
    a, b, rank = found["a"].shape, found["b"].shape, lora.rank_of(module)
    if len(a) != 2 or len(b) != 2:
        raise wrong(
            f"`{weights}` adapts `{module}`, which is neither linear nor an embedding; train without it."
        )
    if (a[0] != rank or b[1] != rank) and not lora.fused(module):
        raise wrong(
            f"`{weights}` holds `{module}` with rank {a[0]} and {b[1]} where `{CONFIG}` says {rank}; "
            "the two files are of different adapters: copy both again."
        )
