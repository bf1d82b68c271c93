"""`MODEL=…`: the operator's configuration with another model behind its launched engine, the file left as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from praxis.config import Config, load
from praxis.errors import PraxisError


def substitute(config: Config, model: str) -> Config:
    """`config` with `model` (a word, folder or hub id) launched and served under a name made from it.

    Aliases, defaults and assistants of the replaced models go over to it; their adapters, which fit no other model,
    are left out. The result is written under `run/` for the other processes. Raises PraxisError unless exactly one
    backend has `launch`.
    """
    launched = [name for name, backend in config.backends.items() if backend.launch]
    if len(launched) != 1:
        raise PraxisError(
            f"`MODEL={model}` needs exactly one backend with `launch` in `{config.path}`, which has {len(launched)}; "
            "write the model into the file instead."
        )
    document: dict[str, Any] = yaml.safe_load(config.path.read_text(encoding="utf-8"))
    name = served_name(model)
    replaced = {key for key, each in config.models.items() if each.backend == launched[0]}
    dropped = {key for key, each in config.adapters.items() if each.base in replaced}
    _launch(document["backends"][launched[0]]["launch"], model, config)
    document["models"] = _models(document["models"], name, launched[0], replaced)
    for each in document["models"].values():
        if each.get("weights"):
            each["weights"] = str(config.resolve(Path(each["weights"])))
    document["adapters"] = {
        key: each | {"source": str(config.resolve(Path(each["source"])))}
        for key, each in (document.get("adapters") or {}).items()
        if key not in dropped
    }
    for each in (document.get("assistants") or {}).values():
        if each["model"] in replaced | dropped:
            each["model"] = name
    document["state"] = config.state
    roots = [str(root) for root in config.adapter_roots()]
    document["server"] = (document.get("server") or {}) | {"adapter_roots": roots}
    embedding = (document.get("rag") or {}).get("embedding")
    if embedding and (folder := config.resolve(Path(embedding.get("model", "embedded")))).is_dir():
        embedding["model"] = str(folder)
    path = config.home / "run" / "models.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return load(path)


def served_name(model: str) -> str:
    """The name under which `model` is served: the last part of its path, in lower case, without odd characters."""
    return re.sub(r"[^\w.+-]+", "-", Path(model).expanduser().resolve().name.lower()).strip("-") or "model"


def _launch(launch: dict[str, Any], model: str, config: Config) -> None:
    folder = config.resolve(Path(model))
    launch["model"] = str(folder) if folder.is_dir() else model
    try:
        limit = json.loads((folder / "config.json").read_text())["max_position_embeddings"]
    except (OSError, ValueError, KeyError):
        return
    if isinstance(launch.get("max_model_len"), int):
        launch["max_model_len"] = min(launch["max_model_len"], limit)


def _models(models: dict[str, Any], name: str, backend: str, replaced: set[str]) -> dict[str, Any]:
    """The models with one in place of those that `backend` served."""
    gone = [models[key] for key in models if key in replaced]
    entry = dict(gone[0]) if gone else {"backend": backend}
    entry["upstream"] = name
    entry.pop("weights", None)
    aliases = [alias for each in gone for alias in each.get("aliases") or []]
    entry["aliases"] = [alias for alias in dict.fromkeys(aliases) if alias != name]
    kept = {key: dict(each) for key, each in models.items() if key not in replaced}
    for each in [entry, *kept.values()]:
        fallback = [name if other in replaced else other for other in each.get("fallback") or []]
        each["fallback"] = [other for other in dict.fromkeys(fallback) if each is not entry or other != name]
    return {name: entry, **kept}
