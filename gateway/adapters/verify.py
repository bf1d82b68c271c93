"""Holds a merged model against its base with the adapter beside it: do they say the same?

It imports torch, transformers and peft, so it is for commands only, and never for the gateway's process.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.adapters.fit import model_config
from gateway.adapters.tensors import FLOATS, tensors_below
from praxis.up.progress import Report

TOLERANCE: Mapping[str, float] = {"BF16": 0.02, "F16": 0.003, "F32": 0.0003, "F64": 0.0003}
"""How far the logits may be apart, relative to their size, by the type that the merged weights are rounded to."""

_NOISE = 1e-5
"""What float32 itself may make of the same weights."""

PROBES = (
    "The patient presents with chest pain and shortness of breath. The first step is",
    "劳动者在法定休假日加班的，用人单位应当支付",
    "用人单位拖欠工资，劳动者可以",
    "def median(values):\n    ",
    "Q: What is the usual adult dose of paracetamol?\nA:",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`error` is how far the merged model's logits are from base and adapter's, `effect` how far these are from the
    base's alone, both relative to their size; `tolerance` is what `error` may be. All 0 where it could not be measured,
    and then `reason` says why."""

    error: float = 0.0
    effect: float = 0.0
    tolerance: float = 0.0
    reason: str = ""

    @property
    def agrees(self) -> bool:
        return self.error <= self.tolerance


def verify(base: Path, adapter: Path, merged: Path, report: Report) -> Verdict:
    """Ask all three the `PROBES` and compare every position's logits, in float32, one model in memory at a time."""
    tensors = tensors_below(merged)
    if reason := _hindrance(base, sum(each.size // FLOATS.get(each.dtype, 1) for each in tensors.values())):
        return Verdict(reason=reason)
    _quiet()
    from peft import PeftModel

    report("asking the base")
    ids = _probes(merged)
    model = _load(base)
    alone = _logits(model, ids)
    report("asking base and adapter")
    beside = _logits(PeftModel.from_pretrained(model, str(adapter)), ids)
    del model
    gc.collect()
    report("asking the merged model")
    result = _logits(_load(merged), ids)
    types = {each.dtype for each in tensors.values()} & set(TOLERANCE)
    tolerance, effect = max(TOLERANCE[each] for each in types), _apart(alone, beside)
    if types == {each.dtype for each in tensors_below(base).values()} & set(TOLERANCE):
        # An adapter that does little may be lost in rounding: the merged model must be nearer to it than the base is.
        tolerance = min(tolerance, max(0.9 * effect, _NOISE))
    return Verdict(_apart(result, beside), effect, tolerance)


def _hindrance(base: Path, elements: int) -> str:
    """Why this machine cannot verify, or nothing."""
    import importlib.util

    import psutil

    if missing := [name for name in ("torch", "transformers", "peft") if not importlib.util.find_spec(name)]:
        return f"{', '.join(missing)} cannot be imported here"
    if "auto_map" in model_config(base):
        return "the model brings its own code, which is not run here"
    needed, free = 4.2 * elements, psutil.virtual_memory().available
    if needed > free:
        return f"the model takes {needed / 1e9:.0f} GB of memory in float32 and {free / 1e9:.0f} GB are free"
    return ""


def _quiet() -> None:
    """The command has a progress line of its own."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    warnings.simplefilter("ignore")


def _load(folder: Path) -> Any:
    import torch
    import transformers

    names = model_config(folder).get("architectures") or []
    kind = getattr(transformers, str(names[0]), None) if names else None
    kind = kind or transformers.AutoModelForCausalLM
    return kind.from_pretrained(str(folder), dtype=torch.float32, local_files_only=True).eval()


def _probes(folder: Path) -> list[list[int]]:
    """The probes as tokens; of a model whose tokenizer makes nothing of them, some tokens of its vocabulary."""
    from transformers import AutoTokenizer

    config = model_config(folder)
    size = config.get("vocab_size") or (config.get("text_config") or {}).get("vocab_size") or 256
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        found = [tokenizer(text)["input_ids"] for text in PROBES]
    except (OSError, ValueError):
        found = []
    if any(not ids or max(ids) >= size for ids in found) or not found:
        return [[(7 * at + start) % size for at in range(24)] for start in range(1, 2 * len(PROBES), 2)]
    return found


def _logits(model: Any, probes: Sequence[list[int]]) -> list[Any]:
    import torch

    found = []
    with torch.inference_mode():
        for ids in probes:
            logits = model(input_ids=torch.tensor([ids])).logits[0].float()
            # What is added to all of a position's logits changes no answer.
            found.append(logits - logits.mean(dim=-1, keepdim=True))
    return found


def _apart(first: Sequence[Any], second: Sequence[Any]) -> float:
    """The norm of the difference, relative to the second's."""
    difference = sum(float((a - b).norm()) ** 2 for a, b in zip(first, second, strict=True))
    return float((difference / sum(float(b.norm()) ** 2 for b in second)) ** 0.5)
