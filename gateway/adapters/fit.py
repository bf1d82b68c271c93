"""Whether an adapter fits the model that it is to extend, and the engine that serves that model."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.adapters.choice import CONFIG
from gateway.adapters.lora import WEIGHTS, Lora, wrong
from gateway.adapters.tensors import Tensor, tensors_below
from praxis.config import Config
from praxis.errors import InvalidRequest
from praxis.weights import EMBEDDED

ENGINE_RANK = 16
"""vLLM's `max_lora_rank` where it is started without that flag."""

_INITIAL = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")
"""Initialisations that leave the base as it is; PiSSA, OLoRA, CorDA and LoftQ change it."""

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
_WRAPPERS = ("model", "language_model", "transformer")


@dataclass(frozen=True, slots=True)
class Fit:
    """What an adapter of `model` must fit. None of `base` (the folder of its weights) or `max_rank` is not known here.

    `max_bytes` bounds its files; `live` says that vLLM will load it beside its base.
    """

    model: str
    base: Path | None = None
    max_rank: int | None = None
    max_bytes: float = 8e9
    live: bool = True


def fit_of(config: Config, model: str) -> Fit:
    """What is known here of `model`, a model of models.yaml, and of the engine behind it."""
    launch = config.backends[config.models[model].backend].launch
    rank = None
    if launch is not None:
        flags = {name.replace("-", "_"): value for name, value in launch.flags.items()}
        rank = int(flags.get("max_lora_rank", ENGINE_RANK))
    return Fit(model, base_of(config, model), rank, config.server.adapter_max_gb * 1e9)


def base_of(config: Config, model: str) -> Path | None:
    """The folder with the weights of `model`, where this machine has it: as `models.*.weights` says, else as the engine
    is launched."""
    section = config.models[model]
    if section.weights is not None:
        return config.resolve(section.weights)
    launch = config.backends[section.backend].launch
    if launch is None:
        return None
    if known := EMBEDDED.get(launch.model):
        folder = config.home / "models" / known.name
    elif not (folder := config.resolve(Path(launch.model))).is_dir():
        return _downloaded(launch.model)
    return folder if (folder / "config.json").is_file() else None


def _downloaded(hub_id: str) -> Path | None:
    """Where the hub's own cache has the model `hub_id`, if it has."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(hub_id, "config.json")
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def check(lora: Lora, fit: Fit) -> list[str]:
    """Hold `lora` against what it must fit. Returns what could not be checked, each as a sentence; raises
    InvalidRequest naming file and fix."""
    unchecked = []
    if fit.live:
        _check_features(lora)
        if fit.max_rank is None:
            unchecked.append(
                "The rank: Praxis does not start the engine, so it does not know its `max_lora_rank`."
            )
        elif lora.rank > fit.max_rank:
            raise wrong(
                f"`{lora.folder / CONFIG}` has rank {lora.rank}, and the engine of `{fit.model}` takes "
                f"{fit.max_rank} at most; start it with a larger `max_lora_rank` (in models.yaml under `launch`)."
            )
    if fit.base is None:
        unchecked.append(
            f"The base: Praxis knows no folder with the weights of `{fit.model}`; "
            f"`models.{fit.model}.weights` in models.yaml can name one."
        )
        return unchecked
    return unchecked + check_base(lora, fit.base, fit.model)


def check_base(lora: Lora, base: Path, model: str) -> list[str]:
    """Hold `lora` against the weights in the folder `base` of `model`: modules, layers and shapes, never names of bases."""
    try:
        tensors = tensors_below(base)
    except InvalidRequest as error:
        return [f"The base: {error.message}"]
    modules = by_module(tensors)
    adapted = {module: canonical(module) for module in lora.patches if not lora.fused(module)}
    missing = [module for module, name in adapted.items() if name not in modules and not _tied(name, modules)]
    if missing:
        raise wrong(
            f"`{lora.folder / WEIGHTS}` adapts {_some(missing)}, which `{model}` (`{base}`) does not have: "
            "the adapter was trained on another model. Load it under the model that it was trained on."
        )
    packed = quantized(base)
    if not packed:
        for module, name in adapted.items():
            _check_shape(lora, module, modules.get(name), model, base)
    _check_layers(lora, adapted.values(), modules, model, base)
    if packed:
        return [f"The base's shapes: `{base}` is quantized ({packed}), which packs them."]
    return []


def by_module(tensors: Mapping[str, Tensor]) -> dict[str, Tensor | None]:
    """The weight of each module by its canonical name; None where the module has no plain weight."""
    modules: dict[str, Tensor | None] = {}
    for name, tensor in tensors.items():
        module, _, kind = name.rpartition(".")
        modules.setdefault(canonical(module), None)
        if kind == "weight":
            modules[canonical(module)] = tensor
    return modules


def canonical(module: str) -> str:
    """The module's name without what only wraps the language model; wrappers differ between versions of transformers
    and what they saved."""
    return ".".join(part for part in module.split(".") if part not in _WRAPPERS)


def _tied(module: str, modules: Mapping[str, Tensor | None]) -> bool:
    """A model whose output layer is its embedding saves it once."""
    return module == "lm_head" and "embed_tokens" in modules


def _check_features(lora: Lora) -> None:
    """What vLLM refuses (its `lora/peft_helper.py`); most of it can be merged."""
    settings = lora.settings
    unfit = {
        "use_dora": bool(settings.get("use_dora")),
        "lora_bias": bool(settings.get("lora_bias")),
        "bias": settings.get("bias", "none") != "none",
        "modules_to_save": any(
            each not in ("classifier", "score") for each in settings.get("modules_to_save") or ()
        ),
        "alora_invocation_tokens": bool(settings.get("alora_invocation_tokens")),
        "layer_replication": bool(settings.get("layer_replication")),
        "use_bdlora": bool(settings.get("use_bdlora")),
        "use_qalora": bool(settings.get("use_qalora")),
    }
    if found := [name for name, is_set in unfit.items() if is_set]:
        mergeable = set(found) <= {"use_dora", "lora_bias", "bias", "modules_to_save"}
        fix = (
            "merge it (`praxis adapters merge`) or train it again without"
            if mergeable
            else "train it again without"
        )
        named = ", ".join(f"`{name}: {json.dumps(settings[name])}`" for name in found)
        raise wrong(f"`{lora.folder / CONFIG}` has {named}, which vLLM cannot load beside a base; {fix}.")
    check_initial(lora)


def check_initial(lora: Lora) -> None:
    """Raises InvalidRequest for an adapter to a base that its own training changed."""
    initial = lora.settings.get("init_lora_weights", True)
    if isinstance(initial, str) and initial.lower() not in _INITIAL:
        raise wrong(
            f"`{lora.folder / CONFIG}` has `init_lora_weights: {initial}`, which changes the base that it trains on; "
            "save it as a plain LoRA (PEFT's `path_initial_model_for_weight_conversion`)."
        )


def _check_shape(lora: Lora, module: str, weight: Tensor | None, model: str, base: Path) -> None:
    patch = lora.patches[module]
    if weight is None:
        return
    shape = (patch.b.shape[0], patch.a.shape[1])
    turned = patch.embedding or lora.settings.get("fan_in_fan_out")
    if weight.shape != (shape[::-1] if turned else shape):
        raise wrong(
            f"`{lora.folder / WEIGHTS}` adapts `{module}` as {shape[1]} → {shape[0]}, and in `{model}` "
            f"(`{base}`) it is {_arrow(weight.shape, bool(turned))}: the adapter was trained on another model. "
            "Load it under the model that it was trained on."
        )


def _arrow(shape: Sequence[int], turned: bool) -> str:
    return " → ".join(str(each) for each in (shape if turned else reversed(shape)))


def _check_layers(
    lora: Lora, adapted: Collection[str], modules: Mapping[str, Tensor | None], model: str, base: Path
) -> None:
    """An adapter to a shallower sibling fits every shape, and still is another model's."""
    settings = lora.settings
    targets = settings.get("target_modules")
    picks = ("layers_to_transform", "layers_pattern", "exclude_modules", "target_parameters")
    if not isinstance(targets, list) or any(settings.get(each) for each in picks):
        return
    # Layers beyond these are drafts of the next tokens, which training leaves alone.
    count = _layer_count(base)
    for leaf in targets:
        if "." in leaf:
            continue
        has, of = _deepest(leaf, adapted, count), _deepest(leaf, modules, count)
        if has is not None and of is not None and has < of:
            raise wrong(
                f"`{lora.folder / WEIGHTS}` adapts `{leaf}` of {has + 1} layers, and `{model}` (`{base}`) has "
                f"{of + 1}: the adapter was trained on another model. Load it under the model that it was trained on."
            )


def _deepest(leaf: str, modules: Iterable[str], count: float) -> int | None:
    """The last layer below `count` with a module of that name, experts left aside."""
    numbers = (
        int(match[1])
        for each in modules
        if each.rpartition(".")[2] == leaf and ".experts." not in each and (match := _LAYER.search(each))
    )
    return max((number for number in numbers if number < count), default=None)


def _layer_count(base: Path) -> float:
    config = model_config(base)
    found = config.get("num_hidden_layers", (config.get("text_config") or {}).get("num_hidden_layers"))
    return found if isinstance(found, int) else math.inf


def model_config(base: Path) -> dict[str, Any]:
    """The config.json in `base`, or nothing where it cannot be read."""
    try:
        config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def quantized(base: Path) -> str | None:
    """How the model in `base` is quantized, or None."""
    section = model_config(base).get("quantization_config")
    return None if not section else str(section.get("quant_method") or "by a method that it does not name")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{each}`" for each in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
