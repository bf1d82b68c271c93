"""A fine-tune merged into its base answers as it did beside it, on a real engine that loads no adapters."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from praxis.config import load
from praxis.up.engines import Engine, device, program
from praxis.up.engines import environment as engine_environment
from praxis.weights import merged_revision
from tests.chain.conftest import MODEL, Stack
from tests.chain.test_adapter import answer
from tests.processes import environment, eventually, free_port

pytestmark = pytest.mark.chain

NAME = "magic-merged"


@contextmanager
def configured(stack: Stack, **sections: dict[str, Any]) -> Iterator[Path]:
    """The stack with more in its models.yaml, in force."""
    file = stack.folder / "models.yaml"
    before = file.read_text()
    document = yaml.safe_load(before)
    for section, more in sections.items():
        document[section] = document.get(section, {}) | more

    def put(text: str) -> None:
        file.write_text(text)
        key = {"authorization": f"Bearer {stack.admin_key}"}
        reply = httpx.post(f"{stack.url}/admin/v1/reload", headers=key, timeout=60)
        assert reply.status_code == 200, reply.text

    put(yaml.safe_dump(document))
    try:
        yield file
    finally:
        put(before)


@contextmanager
def engine(config: Path, backend: str, model: Path, log: Path) -> Iterator[str]:
    """A vLLM of its own that serves the merged `model`, without LoRA, on the replica of `backend`."""
    loaded = load(config)
    url = loaded.backends[backend].replicas[0].url
    kind = device()
    served = Engine(
        f"engine-{backend}",
        backend,
        url,
        str(model),
        True,
        (f"{NAME}@{merged_revision(model)}",),
        {"max_model_len": 2048},
    )
    described = program(served, loaded, engine_environment(loaded, kind), kind)
    with log.open("wb") as output:
        process = subprocess.Popen(
            described.command, env=os.environ | dict(described.environment), stdout=output, stderr=output
        )

    def ready() -> bool:
        assert process.poll() is None, log.read_text()[-4000:]
        try:
            return httpx.get(f"{url}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    try:
        eventually(ready, "the merged model's engine is ready", within=600)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def test_a_merged_adapter_answers_as_it_did(stack: Stack, adapter: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "praxis", "adapters", "merge", str(adapter), "--base", MODEL, "--out",
               str(tmp_path / "magic"), "--config", str(stack.folder / "models.yaml")]  # fmt: skip
    result = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    assert "Verified" in result.stdout
    print(result.stdout)
    backend = {"kind": "vllm", "replicas": [f"http://127.0.0.1:{free_port()}"]}
    live = {"base": MODEL, "source": str(tmp_path / "magic"), "mode": "merged", "backend": "merged"}
    client = stack.openai()
    with (
        configured(stack, backends={"merged": backend}, adapters={NAME: live}) as config,
        engine(config, "merged", tmp_path / "magic", tmp_path / "engine.log"),
    ):
        card = eventually(lambda: listed(stack, NAME), "a probe has found the merged model", within=60)
        assert card["replicas"] == [{"url": backend["replicas"][0], "loaded": True}]
        assert "xylophone" in answer(client, NAME)
        assert "xylophone" not in answer(client, MODEL)


def listed(stack: Stack, name: str) -> dict[str, Any] | None:
    """The adapter as the operator sees it, once all its replicas have it."""
    key = {"authorization": f"Bearer {stack.admin_key}"}
    told: dict[str, Any] = httpx.get(f"{stack.url}/admin/v1/adapters/{name}", headers=key, timeout=60).json()
    return told if all(each["loaded"] for each in told.get("replicas", [{"loaded": False}])) else None


def test_what_must_not_come_in_leaves_the_engine_untouched(
    stack: Stack, adapter: Path, engine_url: str, engine_key: str
) -> None:
    def resident() -> set[str]:
        key = {"authorization": f"Bearer {engine_key}"}
        cards = httpx.get(f"{engine_url}/v1/models", headers=key, timeout=30).json()["data"]
        return {card["id"] for card in cards}

    before = resident()
    for how, word in (("corrupt", "promises"), ("rank", "takes 16 at most"), ("base", "trained on another model"),
                      ("pickled", "pickled"), ("missing", "is missing")):  # fmt: skip
        folder = spoiled(adapter, adapter.parent / how, how)
        refused = stack.praxis("adapters", "load", how, "--base", MODEL, "--source", str(folder))
        assert refused.returncode == 1
        assert word in refused.stderr
        assert str(folder) in refused.stderr
    assert resident() == before
    assert answer(stack.openai(), MODEL)


def spoiled(adapter: Path, folder: Path, how: str) -> Path:
    """A copy of `adapter` that is wrong in one way."""
    import torch
    from safetensors.torch import load_file, save_file

    folder.mkdir()
    config = json.loads((adapter / "adapter_config.json").read_text())
    weights = load_file(adapter / "adapter_model.safetensors")
    file = folder / "adapter_model.safetensors"
    if how == "rank":
        config["r"] = 64
        weights = {name: torch.zeros((64, each.shape[1]) if "lora_A" in name else (each.shape[0], 64))
                   for name, each in weights.items()}  # fmt: skip
    elif how == "base":
        weights = {name: torch.zeros(each.shape[0], 2048) if "lora_A" in name else each
                   for name, each in weights.items()}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(weights, file)
    if how == "corrupt":
        file.write_bytes(file.read_bytes()[:-100])
    elif how == "pickled":
        file.rename(folder / "adapter_model.bin")
    elif how == "missing":
        file.unlink()
    return folder
