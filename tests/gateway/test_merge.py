"""`praxis adapters merge`: the same weights as PEFT's own merge, in bounded memory, whole or not at all."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from tests.fakes.vllm import VLLM
from tests.gateway.asking import house
from tests.gateway.conftest import Serve
from tests.gateway.test_adapter_sources import run_of, state
from tests.gateway.test_adapters import load
from tests.processes import environment, eventually, praxis

LLAMA = LlamaConfig(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
                    num_key_value_heads=2, tie_word_embeddings=False)  # fmt: skip
TIED = LlamaConfig(**(LLAMA.to_diff_dict() | {"tie_word_embeddings": True}))
QWEN = Qwen2Config(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                   num_key_value_heads=2)  # fmt: skip
GPT2 = GPT2Config(vocab_size=96, n_embd=32, n_layer=2, n_head=4, n_positions=64)
ATTENTION = ["q_proj", "v_proj"]


def model(folder: Path, config: Any = LLAMA, dtype: torch.dtype = torch.bfloat16, shard: str = "5GB") -> Path:
    """A tiny model with all that belongs to one."""
    torch.manual_seed(7)
    made: PreTrainedModel = AutoModelForCausalLM.from_config(config).to(dtype)
    made.save_pretrained(folder, max_shard_size=shard)
    GenerationConfig(temperature=0.3, do_sample=True).save_pretrained(folder)
    words = Tokenizer(WordLevel({f"w{number}": number for number in range(96)}, unk_token="w0"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0")
    tokenizer.chat_template = "{% for turn in messages %}{{ turn.content }}{% endfor %}"
    tokenizer.save_pretrained(folder)
    return folder


def adapter(folder: Path, base: Path, std: float = 0.1, **settings: Any) -> Path:
    """An adapter as training would leave it, whose parameters are random."""
    torch.manual_seed(11)
    config = LoraConfig(
        **({"r": 4, "lora_alpha": 8, "target_modules": ATTENTION, "task_type": "CAUSAL_LM"} | settings)
    )
    network = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for name, parameter in network.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            torch.nn.init.normal_(parameter, std=std)
        if "magnitude" in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    network.save_pretrained(folder)
    return folder


def merge(*arguments: str | Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run the command without its verification."""
    return praxis("adapters", "merge", *map(str, arguments), "--no-verify", cwd=cwd, OMP_NUM_THREADS="1")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a model's folder, as its own index says where they are."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return dict(load_file(folder / "model.safetensors"))
    facts = json.loads(index.read_text())
    files = {name: load_file(folder / name) for name in set(facts["weight_map"].values())}
    found = {name: files[file][name] for name, file in facts["weight_map"].items()}
    assert facts["metadata"]["total_size"] == sum(each.nbytes for each in found.values())
    assert sum(len(each) for each in files.values()) == len(found)
    return found


def same(ours: torch.Tensor, theirs: torch.Tensor, before: torch.Tensor) -> bool:
    """Equal within one rounding of the type of what was added, which PEFT rounds first, and one of the sum."""
    assert ours.dtype == theirs.dtype
    added = (theirs.float() - before.float()).abs()
    allowed = float(torch.finfo(ours.dtype).eps) * (theirs.float().abs() + added) + 1e-8
    return bool(((ours.float() - theirs.float()).abs() <= allowed).all())


def merged_by_peft(base: Path, lora: Path) -> dict[str, torch.Tensor]:
    network = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(lora))
    state: dict[str, torch.Tensor] = network.merge_and_unload().state_dict()
    return state


KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "plain": (LLAMA, {}),
    "every linear module": (LLAMA, {"target_modules": "all-linear"}),
    "rslora": (LLAMA, {"use_rslora": True}),
    "ranks and scales by module": (
        LLAMA, {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"layers.1.self_attn.v_proj": 3}},
    ),
    "some layers": (LLAMA, {"layers_to_transform": [1]}),
    "embeddings": (LLAMA, {"target_modules": ["embed_tokens", "q_proj"]}),
    "output layer": (LLAMA, {"target_modules": ["lm_head", "q_proj"]}),
    "whole modules": (LLAMA, {"modules_to_save": ["lm_head"]}),
    "dora": (LLAMA, {"use_dora": True}),
    "biases": (QWEN, {"lora_bias": True}),
    "trained biases": (QWEN, {"bias": "lora_only"}),
    "turned weights": (GPT2, {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}),
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "dtype"), [*((kind, torch.bfloat16) for kind in KINDS), ("plain", torch.float32)], ids=str
)
def test_the_weights_are_those_that_peft_merges(tmp_path: Path, kind: str, dtype: torch.dtype) -> None:
    config, settings = KINDS[kind]
    base = model(tmp_path / "base", config, dtype, shard="20KB")
    lora = adapter(tmp_path / "lora", base, **settings)
    result = merge(lora, "--base", base, "--out", "out", "--shard-gb", "0.001", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    ours, before, theirs = weights(tmp_path / "out"), weights(base), merged_by_peft(base, lora)
    assert ours.keys() == before.keys()
    changed = 0
    for name, tensor in ours.items():
        assert same(tensor, theirs.get(name, theirs.get(f"transformer.{name}")), before[name]), name
        changed += not torch.equal(tensor, before[name])
    assert changed >= 1
    assert type(AutoModelForCausalLM.from_pretrained(tmp_path / "out")) is type(
        AutoModelForCausalLM.from_pretrained(base)
    )


def test_a_folder_holds_all_that_belongs_to_the_model(tmp_path: Path) -> None:
    base = model(tmp_path / "base", shard="30KB")
    lora = adapter(tmp_path / "lora", base)
    result = merge(lora, "--base", base, "--out", "deep/out", "--shard-gb", "0.001", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    out = tmp_path / "deep" / "out"
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"):
        assert (out / name).read_bytes() == (base / name).read_bytes()
    assert json.loads((out / "config.json").read_text()) == json.loads((base / "config.json").read_text())
    record = json.loads((out / "praxis-merge.json").read_text())
    digest = hashlib.sha256((out / "config.json").read_bytes())
    for file in sorted(out.glob("*.safetensors")):
        digest.update(file.read_bytes())
    assert record["revision"] == digest.hexdigest()[:12]
    assert f"NAME@{record['revision']}" in result.stdout
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert not [path for path in out.iterdir() if "part" in path.suffix or "progress" in path.name]


def test_shards_hold_no_more_than_asked_and_an_index_finds_all(tmp_path: Path) -> None:
    base = large(tmp_path / "base", count=6)
    lora = fitting(tmp_path / "lora")
    result = merge(lora, "--base", base, "--out", "out", "--shard-gb", "0.02", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    files = sorted(path.name for path in (tmp_path / "out").glob("*.safetensors"))
    assert files == [f"model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]
    assert weights(tmp_path / "out").keys() == weights(base).keys()


def test_a_model_in_float32_can_become_one_in_bfloat16(tmp_path: Path) -> None:
    base = model(tmp_path / "base", dtype=torch.float32)
    lora = adapter(tmp_path / "lora", base)
    result = merge(lora, "--base", base, "--out", "out", "--dtype", "bfloat16", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    theirs = merged_by_peft(base, lora)
    for name, tensor in weights(tmp_path / "out").items():
        assert same(tensor, theirs[name].to(torch.bfloat16), tensor), name
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto").dtype == torch.bfloat16


def test_the_best_checkpoint_of_a_run_is_merged(tmp_path: Path) -> None:
    state(run_of(tmp_path / "run", (20, 60)), {20: 0.5, 60: 0.8})
    result = merge(
        tmp_path / "run", "--base", large(tmp_path / "base", count=1, size=16), "--out", "out", cwd=tmp_path
    )
    assert result.returncode == 1, "its modules are others than the base's"
    base = model(tmp_path / "llama")
    adapter(tmp_path / "run" / "checkpoint-20", base)
    result = merge(tmp_path / "run", "--base", base, "--out", "out", cwd=tmp_path)
    assert "checkpoint-20" in result.stdout
    assert "least `eval_loss`" in result.stdout


@pytest.mark.parametrize(
    "settings",
    [{"target_modules": ["lm_head", "q_proj"]}, {"modules_to_save": ["lm_head"]}],
    ids=["adapted", "brought whole"],
)
def test_an_output_layer_that_was_the_embedding_becomes_one_of_its_own(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    base = model(tmp_path / "base", TIED)
    lora = adapter(tmp_path / "lora", base, **settings)
    result = merge(lora, "--base", base, "--out", "out", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert torch.equal(
        weights(tmp_path / "out")["model.embed_tokens.weight"], weights(base)["model.embed_tokens.weight"]
    )
    ids = torch.arange(20)[None]
    beside = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), str(lora)
    )
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    with torch.inference_mode():
        expected, said = beside(input_ids=ids).logits, merged(input_ids=ids).logits
    assert float((said - expected).norm() / expected.norm()) < 0.01


def verified(tmp_path: Path, config: Any, std: float) -> "subprocess.CompletedProcess[str]":
    """Merge with the verification, which imports half of the world."""
    base = model(tmp_path / "base", config)
    lora = adapter(tmp_path / "lora", base, std=std)
    command = [
        sys.executable,
        "-m",
        "praxis",
        "adapters",
        "merge",
        str(lora),
        "--base",
        str(base),
        "--out",
        "out",
    ]
    return subprocess.run(command, cwd=tmp_path, env=environment(OMP_NUM_THREADS="1"), capture_output=True, text=True,
                          timeout=280)  # fmt: skip


@pytest.mark.timeout(300)
def test_it_verifies_itself(tmp_path: Path) -> None:
    result = verified(tmp_path, TIED, std=0.1)
    assert result.returncode == 0, result.stderr
    assert "Verified: on 5 prompts" in result.stdout
    found = json.loads((tmp_path / "out" / "praxis-merge.json").read_text())["verified"]
    assert found["error"] <= found["tolerance"] <= found["effect"]
    assert "lm_head.weight" not in weights(tmp_path / "out")


@pytest.mark.timeout(300)
def test_an_adapter_that_rounding_swallows_is_said_to_be_lost(tmp_path: Path) -> None:
    result = verified(tmp_path, QWEN, std=0.0005)
    assert result.returncode == 1, result.stdout
    assert "disagrees" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "lora"]


def test_a_live_adapter_is_merged_by_its_name(own_gateway: Serve, tmp_path: Path, engine: VLLM) -> None:
    base = large(tmp_path / "base", count=1)
    fitting(tmp_path / "adapters" / "medical")
    running = own_gateway(house(engine, weights="base"))
    loaded = load(running, "medical", "adapters/medical")
    assert loaded.status_code == 200, loaded.text
    result = praxis("adapters", "merge", "medical", "--out", "out", "--no-verify", "--url", running.url,
                    cwd=tmp_path, PRAXIS_API_KEY=running.admin_key)  # fmt: skip
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "out" / "praxis-merge.json").read_text())
    assert record["adapter_revision"] in next(iter(engine.loaded))
    assert record["base"] == str(base)
    unknown = praxis("adapters", "merge", "nursing", "--out", "more", "--url", running.url,
                     cwd=tmp_path, PRAXIS_API_KEY=running.admin_key)  # fmt: skip
    assert unknown.returncode == 1
    assert "nursing" in unknown.stderr


# what it takes


def large(folder: Path, count: int = 24, size: int = 2048) -> Path:
    """A model's folder with `count` square matrices, 8 MB each in bfloat16."""
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"], "vocab_size": 96}')
    name = "model.layers.{}.self_attn.q_proj.weight"
    save_file({name.format(at): torch.zeros(size, size, dtype=torch.bfloat16) for at in range(count)},
              folder / "model.safetensors")  # fmt: skip
    return folder


def fitting(folder: Path, size: int = 2048) -> Path:
    """An adapter to the first layer of `large`."""
    folder.mkdir(parents=True)
    settings = {
        "peft_type": "LORA",
        "r": 2,
        "lora_alpha": 2,
        "target_modules": ["q_proj"],
        "layers_to_transform": [0],
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    save_file({name.format("A"): torch.ones(2, size), name.format("B"): torch.ones(size, 2)},
              folder / "adapter_model.safetensors")  # fmt: skip
    return folder


HELD = """
import time
from gateway.adapters import merge
from praxis.cli import main

write = merge.write_shard

def held(path, items, wrote):
    def said(*done):
        while "model-00003" in path.name:
            time.sleep(0.05)
        wrote(*done)
    write(path, items, said)

merge.write_shard = held
main()
"""
"""The command, staying in the middle of its third shard."""


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Begins a merge of the large model, in many shards, and leaves it running, or waiting in the middle."""
    base, lora = large(tmp_path / "base"), fitting(tmp_path / "lora")
    begun = []

    def start(held: bool = False) -> "subprocess.Popen[str]":
        program = ["-c", HELD] if held else ["-m", "praxis"]
        command = [sys.executable, *program, "adapters", "merge", str(lora), "--base", str(base), "--out", "out",
                   "--shard-gb", "0.01", "--no-verify"]  # fmt: skip
        process = subprocess.Popen(command, cwd=tmp_path, env=environment(OMP_NUM_THREADS="1"), text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def test_memory_does_not_grow_with_the_model(
    begin: Callable[[], "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    process = begin()
    most = 0

    def ended() -> bool:
        nonlocal most
        status = Path(f"/proc/{process.pid}/status").read_text()
        if found := re.search(r"VmHWM:\s*(\d+) kB", status):
            most = int(found[1])
        return process.poll() is not None

    eventually(ended, "it has merged", within=100)
    assert process.returncode == 0
    assert most < 150_000, "kB; the model has 200 MB"
    first = weights(tmp_path / "out")["model.layers.0.self_attn.q_proj.weight"]
    assert torch.equal(first, torch.full_like(first, 2))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda each: each.name)
def test_an_interrupted_merge_leaves_nothing_that_looks_whole_and_goes_on(
    begin: Callable[..., "subprocess.Popen[str]"], tmp_path: Path, number: signal.Signals
) -> None:
    process = begin(held=True)
    first = tmp_path / ".partial-out" / "model-00001-of-00024.safetensors"
    eventually(
        first.with_name("model-00002-of-00024.safetensors").exists, "it writes the third shard", within=60
    )
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert not (tmp_path / "out").exists()
    if number == signal.SIGINT:
        assert "goes on where it was" in output
        assert "Traceback" not in output
    written = first.stat().st_mtime_ns
    again = begin()
    output, _ = again.communicate(timeout=60)
    assert again.returncode == 0, output
    assert (tmp_path / "out" / first.name).stat().st_mtime_ns == written
    assert len(weights(tmp_path / "out")) == 24
    assert not first.parent.exists()


def test_two_merges_into_one_folder_are_one_too_many(
    begin: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    begin(held=True)
    eventually(
        (tmp_path / ".partial-out" / "model-00001-of-00024.safetensors").exists, "it writes", within=60
    )
    second = begin()
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert "Another" in output


# what is refused


def test_a_quantized_base_is_refused_with_the_reason(tmp_path: Path) -> None:
    base = model(tmp_path / "base")
    lora = adapter(tmp_path / "lora", base)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "gptq"}}))
    result = merge(lora, "--base", base, "--out", "out", cwd=tmp_path)
    assert result.returncode == 1
    assert "quantized (gptq)" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_disk_without_room_is_told_before_anything_is_written(tmp_path: Path) -> None:
    base, lora = large(tmp_path / "base", count=1), fitting(tmp_path / "lora")
    elements = 2 * 10**12
    header = json.dumps({
        "model.embed_tokens.weight": {"dtype": "BF16", "shape": [elements], "data_offsets": [0, 2 * elements]}
    }).encode()  # fmt: skip
    file = base / "huge.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    os.truncate(file, 8 + len(header) + 2 * elements)  # takes no room itself
    index = {"weight_map": {"model.embed_tokens.weight": file.name,
                            "model.layers.0.self_attn.q_proj.weight": "model.safetensors"}}  # fmt: skip
    (base / "model.safetensors.index.json").write_text(json.dumps(index))
    result = merge(lora, "--base", base, "--out", "out", cwd=tmp_path)
    assert result.returncode == 1
    assert "GB free" in result.stderr
    assert "4000.1 GB" in result.stderr
    assert not (tmp_path / "out").exists()


REFUSED = {
    "a taken folder": (["lora", "--base", "base", "--out", "base"], "is there already"),
    "a folder within the base": (["lora", "--base", "base", "--out", "base/out"], "lies within"),
    "no base": (["lora", "--out", "out"], "--base"),
    "an unknown base": (["lora", "--base", "nowhere", "--out", "out"], "nowhere"),
    "an adapter as the base": (["lora", "--base", "lora", "--out", "out"], "config.json"),
    "another base": (["lora", "--base", "other", "--out", "out"], "trained on another model"),
    "PiSSA": (["pissa", "--base", "base", "--out", "out"], "init_lora_weights"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_merged_is_refused_in_a_sentence(tmp_path: Path, what: str) -> None:
    base = model(tmp_path / "base")
    adapter(tmp_path / "lora", base)
    model(tmp_path / "other", QWEN)
    pissa = adapter(tmp_path / "pissa", base)
    config = json.loads((pissa / "adapter_config.json").read_text()) | {"init_lora_weights": "pissa"}
    (pissa / "adapter_config.json").write_text(json.dumps(config))
    arguments, word = REFUSED[what]
    (tmp_path / "models.yaml").write_text(
        "backends: {b: {kind: vllm, replicas: ['http://127.0.0.1:9']}}\nmodels: {m: {backend: b, upstream: m}}\n"
    )
    result = merge(*arguments, cwd=tmp_path)
    assert result.returncode == 1, result.stdout
    assert word in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()
