"""Merges an adapter into its base's weights, as PEFT does, into a folder that any engine serves.

Shard by shard and block by block, so that a model of any size takes the same memory. The folder appears whole or not at
all: what is done so far lies beside it, and the same merge begun again goes on from there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gateway.adapters.choice import CONFIG
from gateway.adapters.fit import canonical, check_base, check_initial, model_config, quantized
from gateway.adapters.lora import WEIGHTS, Lora, read_lora, wrong
from gateway.adapters.shards import Change, Item, names, split, write_index, write_shard
from gateway.adapters.source import Source
from gateway.adapters.tensors import FLOATS, tensors_below
from praxis.errors import InvalidRequest, PraxisError
from praxis.up.progress import Report
from praxis.weights import MERGE_RECORD

_IDENTITY = "merge-in-progress.json"

DType = Literal["base", "bfloat16"]

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".index.json")
_LARGEST_COPY = 200e6
"""Bytes of a file beside the weights that is still taken for a tokenizer's or the like."""

_ROOM = 50e6
"""Bytes that stay free on the disk."""

_UNMERGEABLE = ("alora_invocation_tokens", "layer_replication", "use_bdlora", "use_qalora", "target_parameters",
                "trainable_token_indices", "megatron_config", "arrow_config")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """A merge to be: `adapter` into the model in `base`, as `shards` of the folder `out`."""

    adapter: Source
    base: Path
    out: Path
    shards: Sequence[Sequence[Item]]
    config: Mapping[str, Any]
    copies: Sequence[Path]

    @property
    def work(self) -> Path:
        """Where it is made."""
        return self.out.with_name(f".partial-{self.out.name}")

    @property
    def size(self) -> int:
        """Bytes of the tensors."""
        return sum(item.size for shard in self.shards for item in shard)

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same for a merge to go on where one was interrupted."""
        files = {item.source.file for shard in self.shards for item in shard}
        return {
            "revision": self.adapter.revision,
            "base": {str(file): [file.stat().st_size, file.stat().st_mtime_ns] for file in sorted(files)},
            "shards": [[[item.name, item.dtype] for item in shard] for shard in self.shards],
        }


def plan(adapter: Source, base: Path, out: Path, dtype: DType = "base", shard_bytes: float = 5e9) -> Plan:
    """Work out how to merge the checked `adapter` into the model in the folder `base`. Touches nothing.

    Raises InvalidRequest when they do not fit, the base is quantized, or `out` is taken.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidRequest(f"`{out}` is there already; give another folder with `--out`, or remove it.")
    if out.is_relative_to(base) or out.is_relative_to(adapter.path):
        raise InvalidRequest(f"`{out}` lies within what is merged; give a folder elsewhere with `--out`.")
    _check_base_folder(base)
    lora = read_lora(adapter.path)
    _check_features(lora)
    check_base(lora, base, base.name)
    items, untied = _items(lora, base, None if dtype == "base" else "BF16")
    return Plan(
        adapter,
        base,
        out,
        split(items, int(shard_bytes)),
        _config(base, dtype, untied),
        _copies(base),
    )


def merge(plan: Plan, report: Report) -> None:
    """Write the merged tensors and what belongs to them into `plan.work`; what an interrupted merge has done stays done.

    Raises PraxisError when the disk has too little room or somebody else is merging into the same folder.
    """
    files = names(len(plan.shards))
    done = sum(
        sum(item.size for item in shard)
        for name, shard in zip(files, plan.shards, strict=True)
        if (plan.work / name).is_file()
    )
    _check_room(plan, done)

    def wrote(name: str, count: int) -> None:
        nonlocal done
        done += count
        report(f"{done / 1e9:.1f} of {plan.size / 1e9:.1f} GB, {name}", done / plan.size)

    for name, shard in zip(files, plan.shards, strict=True):
        if not (plan.work / name).is_file():
            write_shard(plan.work / name, shard, wrote)
    write_index(plan.work, plan.shards)
    for source in plan.copies:
        shutil.copyfile(source, plan.work / source.name)
    (plan.work / "config.json").write_text(json.dumps(plan.config, indent=2) + "\n", encoding="utf-8")


@contextmanager
def working(plan: Plan) -> Iterator[None]:
    """The folder `plan.work`, alone: with what an interrupted merge of the same left there, without what another did."""
    plan.work.mkdir(parents=True, exist_ok=True)
    held = os.open(plan.work, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PraxisError(
                f"Another `praxis adapters merge` is writing `{plan.out}`; wait for it, or give another folder."
            ) from None
        _prepare(plan)
        yield
    finally:
        os.close(held)


def finish(plan: Plan, verified: Mapping[str, Any], report: Report) -> str:
    """Write down what was merged and how it was `verified`, and give the folder its name. Returns the revision: the first
    12 hex digits of the SHA-256 over configuration and weights."""
    digest, done = hashlib.sha256((plan.work / "config.json").read_bytes()), 0
    for name in names(len(plan.shards)):
        with (plan.work / name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
                done += len(block)
                report(name, min(1.0, done / plan.size))
    revision = digest.hexdigest()[:12]
    record = {
        "revision": revision,
        "adapter": str(plan.adapter.path),
        "adapter_revision": plan.adapter.revision,
        "base": str(plan.base),
        "verified": verified,
    }
    (plan.work / MERGE_RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    (plan.work / _IDENTITY).unlink(missing_ok=True)
    plan.work.replace(plan.out)
    return revision


def _prepare(plan: Plan) -> None:
    identity = json.dumps(plan.identity)
    known = plan.work / _IDENTITY
    try:
        same = known.read_text(encoding="utf-8") == identity
    except OSError:
        same = False
    if not same:
        for path in plan.work.iterdir():
            path.unlink()
        known.write_text(identity, encoding="utf-8")


def _check_base_folder(base: Path) -> None:
    if not (base / "config.json").is_file():
        raise InvalidRequest(
            f"`{base}` holds no config.json, so it is no model folder; give the base's with `--base`."
        )
    if (base / CONFIG).is_file():
        raise InvalidRequest(
            f"`{base}` is an adapter itself; give the folder of the whole base model with `--base`."
        )
    if method := quantized(base):
        raise InvalidRequest(
            f"`{base}` is quantized ({method}): its packed weights cannot take a change without being quantized anew. "
            "Merge into the original model that it was made from, then quantize the result."
        )


def _check_features(lora: Lora) -> None:
    check_initial(lora)
    for name in _UNMERGEABLE:
        if value := lora.settings.get(name):
            raise wrong(
                f"`{lora.folder / CONFIG}` has `{name}: {json.dumps(value)}`, which cannot be merged; train without it."
            )
    if lora.settings.get("use_dora") and lora.settings.get("fan_in_fan_out"):
        raise wrong(
            f"`{lora.folder / CONFIG}` has `use_dora` with `fan_in_fan_out`, which is not merged here."
        )


def _items(lora: Lora, base: Path, dtype: str | None) -> tuple[list[Item], bool]:
    """Every tensor of the merged model in the base's order; and whether the output layer is no longer the embedding."""
    tensors = tensors_below(base)
    for tensor in tensors.values():
        if tensor.dtype.startswith("F8") or tensor.name.endswith((".qweight", ".weight_packed")):
            raise InvalidRequest(
                f"`{tensor.file}` holds `{tensor.name}` as {tensor.dtype}: the base is quantized. Merge into the "
                "original model that it was made from, then quantize the result."
            )
    own = {canonical(name): name for name in tensors}
    changes, whole = _changes(lora), {canonical(name): tensor for name, tensor in lora.whole.items()}
    untied = _untied(lora, own, base)
    if untied:
        # The output layer gets a tensor of its own: what the adapter does to it, it does not do to the embedding.
        tensors["lm_head.weight"] = tensors[own["embed_tokens.weight"]]
        own["lm_head.weight"] = "lm_head.weight"
    for name, tensor in whole.items():
        if name not in own or tensors[own[name]].shape != tensor.shape:
            raise wrong(
                f"`{tensor.file}` brings `{name}` of shape {list(tensor.shape)}, for which `{base}` has no room; "
                "the adapter was trained on another model, or on one with more tokens."
            )
    if lost := set(changes) - set(own):
        raise wrong(
            f"`{lora.folder / WEIGHTS}` changes `{sorted(lost)[0]}`, which `{base}` does not have as a plain tensor; "
            "it cannot be merged."
        )
    items = []
    for name, tensor in tensors.items():
        plain = canonical(name)
        kept = dtype if dtype and tensor.dtype in FLOATS else tensor.dtype
        items.append(Item(name, whole.get(plain, tensor), kept, changes.get(plain)))
    return items, untied


def _changes(lora: Lora) -> dict[str, Change]:
    """What is added to which tensor, by canonical name."""
    found = {}
    for module, patch in lora.patches.items():
        turned = patch.embedding or bool(lora.settings.get("fan_in_fan_out"))
        scaling = lora.scaling(module)
        found[f"{canonical(module)}.weight"] = Change(patch, scaling, turned)
        if patch.bias is not None:
            found[f"{canonical(module)}.bias"] = Change(patch, scaling, bias=True)
    return found


def _untied(lora: Lora, own: Mapping[str, str], base: Path) -> bool:
    """Whether an output layer that is the embedding itself has to become one of its own."""
    touched = {canonical(each) for each in lora.patches} | {
        canonical(each.rpartition(".")[0]) for each in lora.whole
    }
    both = {"lm_head", "embed_tokens"}
    return "lm_head.weight" not in own and "embed_tokens.weight" in own and bool(touched & both)


def _config(base: Path, dtype: DType, untied: bool) -> dict[str, Any]:
    config = model_config(base)
    for section in (config, config.get("text_config")):
        if not isinstance(section, dict):
            continue
        keys = [key for key in ("dtype", "torch_dtype") if key in section]
        if dtype == "bfloat16":
            section |= dict.fromkeys(keys or ["torch_dtype"], "bfloat16")
        if untied and (section is config or "tie_word_embeddings" in section):
            section["tie_word_embeddings"] = False
    return config


def _copies(base: Path) -> list[Path]:
    """All that belongs to a model and is no weights: tokenizer, chat template, sampling defaults, code."""
    return [
        path
        for path in sorted(base.iterdir())
        if path.is_file()
        and not path.name.startswith(".")
        and not path.name.endswith(_WEIGHTS)
        and path.name not in ("config.json", MERGE_RECORD)
        and path.stat().st_size < _LARGEST_COPY
    ]


def _check_room(plan: Plan, done: int) -> None:
    needed = plan.size - done + sum(path.stat().st_size for path in plan.copies) + _ROOM
    free = shutil.disk_usage(plan.out.parent).free
    if needed > free:
        raise PraxisError(
            f"`{plan.out.parent}` has {free / 1e9:.1f} GB free and the merge needs {needed / 1e9:.1f} GB; "
            "make room, or give a folder on another disk with `--out`."
        )
