"""What comes in as an adapter: which checkpoint is taken, and what is refused before any engine sees it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.fakes.vllm import VLLM
from tests.gateway.asking import ask, house
from tests.gateway.conftest import Serve
from tests.gateway.test_adapters import held, load, unload
from tests.processes import Gateway, praxis

HIDDEN, LAYERS = 16, 2
MODULES = [f"model.layers.{layer}.self_attn.{leaf}_proj" for layer in range(LAYERS) for leaf in "qv"]
OUT = {"q": HIDDEN, "v": 8}


def tensors(modules: list[str] = MODULES, rank: int = 8, width: int = HIDDEN) -> dict[str, torch.Tensor]:
    """The tensors of a LoRA of these modules."""
    found = {}
    for module in modules:
        out = OUT[module.rpartition(".")[2][0]]
        found[f"base_model.model.{module}.lora_A.weight"] = torch.ones(rank, width)
        found[f"base_model.model.{module}.lora_B.weight"] = torch.zeros(out, rank)
    return found


def peft(folder: Path, weights: dict[str, torch.Tensor] | None = None, **settings: Any) -> Path:
    """A PEFT folder as training leaves it; `settings` differ from the usual ones."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 8, "lora_alpha": 16, "bias": "none",
              "target_modules": ["q_proj", "v_proj"], "base_model_name_or_path": "/home/trainer/models/qwen"}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config | settings))
    save_file(tensors() if weights is None else weights, folder / "adapter_model.safetensors")
    return folder


def base(folder: Path, layers: int = LAYERS) -> Path:
    """A model's folder, of which only attention is there."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    weights = {
        f"model.layers.{layer}.self_attn.{leaf}_proj.weight": torch.zeros(out, HIDDEN, dtype=torch.bfloat16)
        for layer in range(layers)
        for leaf, out in OUT.items()
    }
    save_file(weights, folder / "model.safetensors")
    return folder


def state(folder: Path, losses: dict[int, float], **more: Any) -> None:
    """A trainer's state as transformers writes it."""
    history = [{"step": step, "eval_loss": loss, "epoch": 1.0} for step, loss in losses.items()]
    (folder / "trainer_state.json").write_text(
        json.dumps({"log_history": [{"step": 1, "loss": 3.0}, *history], **more})
    )


@pytest.fixture
def sources(standing_gateway: Gateway) -> Iterator[Path]:
    folder = standing_gateway.folder / "adapters"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def running(gateway: Serve, sources: Path, engine: VLLM) -> Iterator[Gateway]:
    """A gateway that knows where its base's weights lie and how its engine was started."""
    model = base(sources / "qwen")
    running = gateway(house(engine, backend={"launch": {"model": str(model), "enable_lora": True}}))
    yield running
    for name in [card["id"] for card in running.models().values() if card["parent"]]:
        unload(running, name)


def run_of(folder: Path, steps: tuple[int, ...]) -> Path:
    """An output_dir with these checkpoints, each of other content."""
    for step in steps:
        peft(folder / f"checkpoint-{step}", lora_alpha=step)
    return folder


def loaded(running: Gateway, engine: VLLM, source: str) -> tuple[str, str]:
    """Load it; the folder that the engine was given, and why."""
    reply = load(running, "x", source)
    assert reply.status_code == 200, reply.text
    (folder,) = engine.loaded.values()
    assert reply.json()["unchecked"] == []
    return Path(folder).name, reply.json()["why"]


# which one


def test_the_checkpoint_with_the_least_eval_loss_is_taken(
    running: Gateway, engine: VLLM, sources: Path
) -> None:
    state(run_of(sources / "run", (20, 100, 60)), {20: 1.5, 60: 0.8, 100: 0.9})
    taken, why = loaded(running, engine, "adapters/run")
    assert taken == "checkpoint-60"
    assert "0.8" in why
    assert "0.9 at step 100" in why


def test_the_state_in_the_last_checkpoint_will_do_for_a_run_that_was_stopped(
    running: Gateway, engine: VLLM, sources: Path
) -> None:
    run = run_of(sources / "run", (20, 60, 100))
    state(run / "checkpoint-20", {20: 1.0})
    state(run / "checkpoint-100", {20: 1.0, 60: 1.1, 100: 1.2})
    assert loaded(running, engine, "adapters/run")[0] == "checkpoint-20"


def test_a_better_step_whose_checkpoint_is_gone_is_said(
    running: Gateway, engine: VLLM, sources: Path
) -> None:
    state(run_of(sources / "run", (60, 80)), {40: 0.5, 60: 0.7, 80: float("nan")})
    taken, why = loaded(running, engine, "adapters/run")
    assert taken == "checkpoint-60"
    assert "step 40 had 0.5" in why


def test_a_best_checkpoint_of_another_machine_is_found_by_its_name(
    running: Gateway, engine: VLLM, sources: Path
) -> None:
    state(run_of(sources / "run", (20, 40)), {}, best_model_checkpoint="/mnt/trainer/saves/run/checkpoint-20")
    assert loaded(running, engine, "adapters/run")[0] == "checkpoint-20"


@pytest.mark.parametrize("text", [None, "{", "[]", '{"log_history": [3, {"step": "x", "eval_loss": []}]}'])
def test_without_losses_it_is_the_last(
    running: Gateway, engine: VLLM, sources: Path, text: str | None
) -> None:
    run = run_of(sources / "run", (9, 10))
    if text is not None:
        (run / "trainer_state.json").write_text(text)
    taken, why = loaded(running, engine, "adapters/run")
    assert taken == "checkpoint-10"
    assert "the last" in why


def test_what_training_ended_with_is_taken_where_it_is_best_or_nothing_is_known(
    running: Gateway, engine: VLLM, sources: Path
) -> None:
    run = peft(run_of(sources / "run", (20, 40)), lora_alpha=50)
    assert loaded(running, engine, "adapters/run")[0] == "run"
    unload(running, "x")
    state(run, {20: 1.0, 40: 0.9, 50: 0.8}, global_step=50)
    assert loaded(running, engine, "adapters/run")[0] == "run"


def test_the_command_explains_the_choice(running: Gateway, sources: Path) -> None:
    state(run_of(sources / "run", (20, 60)), {20: 0.5, 60: 0.8})
    result = praxis(
        "adapters", "load", "x", "--base", "law", "--source", "adapters/run", "--url", running.url,
        cwd=running.folder, PRAXIS_API_KEY=running.admin_key,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "checkpoint-20" in result.stdout
    assert "least `eval_loss`" in result.stdout


def test_an_output_dir_may_stand_in_the_file(running: Gateway, engine: VLLM, sources: Path) -> None:
    state(run_of(sources / "run", (20, 60)), {20: 0.5, 60: 0.8})
    config = json.loads(running.file.read_text())
    config["adapters"] = {"nursing": {"base": "law", "source": "adapters/run"}}
    running.configure(json.dumps(config))
    assert running.models()["nursing"]["parent"] == "law"
    del config["adapters"]
    running.configure(json.dumps(config))


# what is refused


def refused(running: Gateway, engine: VLLM, source: str = "adapters/x") -> str:
    """Load what must be refused with the engine untouched; the message."""
    before = len(engine.seen)
    reply = load(running, "x", source)
    assert reply.status_code == 400, reply.text
    asked = [request.path for request in engine.seen[before:]]
    assert "/v1/load_lora_adapter" not in asked
    assert not engine.loaded
    assert "x" not in running.models()
    assert ask(running).status == 200
    error = reply.json()["error"]
    assert error["type"] == "invalid_request_error"
    return str(error["message"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_diverged_are_refused(
    running: Gateway, engine: VLLM, sources: Path, dtype: torch.dtype, value: float
) -> None:
    weights = {name: tensor.to(dtype) for name, tensor in tensors().items()}
    last = sorted(weights)[-1]
    weights[last][-1, -1] = value
    peft(sources / "x", weights)
    message = refused(running, engine)
    assert last in message
    assert "NaN or infinity" in message
    assert "earlier checkpoint" in message


def test_an_adapter_of_another_model_is_refused_by_its_shapes(
    running: Gateway, engine: VLLM, sources: Path
) -> None:
    peft(sources / "x", tensors(width=32))
    message = refused(running, engine)
    assert "32 → 16" in message
    assert "16 → 16" in message
    assert "trained on another model" in message


def test_an_adapter_of_modules_that_the_base_lacks_is_refused(
    running: Gateway, engine: VLLM, sources: Path
) -> None:
    peft(sources / "x", tensors([*MODULES, "model.layers.2.self_attn.q_proj"]))
    message = refused(running, engine)
    assert "model.layers.2.self_attn.q_proj" in message
    assert "does not have" in message


def test_an_adapter_of_a_shallower_model_is_refused_unless_it_chose_its_layers(
    running: Gateway, engine: VLLM, sources: Path
) -> None:
    peft(sources / "x", tensors(MODULES[:2]))
    assert "of 1 layers" in refused(running, engine)
    peft(sources / "y", tensors(MODULES[:2]), layers_to_transform=[0])
    assert load(running, "y", "adapters/y").status_code == 200


def test_the_name_of_the_base_says_nothing(running: Gateway, engine: VLLM, sources: Path) -> None:
    peft(sources / "x", base_model_name_or_path="C:\\Users\\trainer\\something-else")
    assert load(running, "x", "adapters/x").status_code == 200
    assert held(engine) == [{"x"}]


def test_a_rank_beyond_the_engines_is_refused_before_it_sees_it(
    running: Gateway, engine: VLLM, sources: Path
) -> None:
    peft(sources / "x", tensors(rank=32), r=32)
    message = refused(running, engine)
    assert "rank 32" in message
    assert "max_lora_rank" in message
    config = json.loads(running.file.read_text())
    config["backends"]["local"]["launch"]["max_lora_rank"] = 32
    running.configure(json.dumps(config))
    engine.max_lora_rank = 32
    assert load(running, "x", "adapters/x").status_code == 200


@pytest.mark.parametrize(
    "settings",
    [
        {"use_dora": True},
        {"modules_to_save": ["lm_head"]},
        {"lora_bias": True},
        {"bias": "lora_only"},
        {"init_lora_weights": "pissa_niter_4"},
        {"layer_replication": [[0, 2]]},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_what_vllm_cannot_load_is_refused(
    running: Gateway, engine: VLLM, sources: Path, settings: dict[str, Any]
) -> None:
    peft(sources / "x", **settings)
    message = refused(running, engine)
    assert next(iter(settings)) in message
    assert "adapter_config.json" in message


def test_a_pickled_adapter_is_refused(running: Gateway, engine: VLLM, sources: Path) -> None:
    folder = peft(sources / "x")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    message = refused(running, engine)
    assert "pickled" in message
    assert "safe_serialization" in message


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def overlap(path: Path) -> None:
    """Two tensors that lie in the same place."""
    header = {name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in "ab"}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))


DAMAGE = {
    "cut short": (cut, "promises"),
    "empty": (lambda path: path.write_bytes(b""), "cut short"),
    "no header": (lambda path: path.write_bytes(b"\xff" * 64), "cut short"),
    "missing": (lambda path: path.unlink(), "is missing"),
    "overlapping": (overlap, "damaged header"),
    "integers": (
        lambda path: save_file({"x.lora_A.weight": torch.ones(8, 16, dtype=torch.int8)}, path),
        "I8",
    ),
    "half": (lambda path: save_file(dict(list(tensors().items())[:1]), path), "half"),
    "of another rank": (lambda path: save_file(tensors(rank=4), path), "rank 4"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_adapter_is_refused(running: Gateway, engine: VLLM, sources: Path, how: str) -> None:
    damage, word = DAMAGE[how]
    damage(peft(sources / "x") / "adapter_model.safetensors")
    message = refused(running, engine)
    assert word in message
    assert "adapter_model.safetensors" in message


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"peft_type": "IA3"}', '{"peft_type": "LORA", "r": 8}', "[" * 5000]
)
def test_a_damaged_configuration_is_refused(running: Gateway, engine: VLLM, sources: Path, text: str) -> None:
    (peft(sources / "x") / "adapter_config.json").write_text(text)
    assert "adapter_config.json" in refused(running, engine)


def test_a_file_that_links_out_of_the_roots_is_refused(
    running: Gateway, engine: VLLM, sources: Path, tmp_path: Path
) -> None:
    folder = peft(sources / "x")
    secret = (folder / "adapter_model.safetensors").rename(tmp_path / "elsewhere.safetensors")
    (folder / "adapter_model.safetensors").symlink_to(secret)
    assert "adapter_roots" in refused(running, engine)
    run_of(tmp_path / "run", (10,))
    (sources / "run").mkdir()
    (sources / "run" / "checkpoint-10").symlink_to(tmp_path / "run" / "checkpoint-10")
    assert "adapter_roots" in refused(running, engine, "adapters/run")


def test_an_adapter_beyond_the_limit_of_size_is_refused(
    running: Gateway, engine: VLLM, sources: Path
) -> None:
    config = json.loads(running.file.read_text())
    config["server"] = {"adapter_max_gb": 0.000001}
    running.configure(json.dumps(config))
    peft(sources / "x")
    assert "adapter_max_gb" in refused(running, engine)


# what is not known


def test_what_cannot_be_checked_is_said(gateway: Serve, sources: Path, engine: VLLM) -> None:
    running = gateway(house(engine))
    peft(sources / "x", tensors(width=32))
    reply: httpx.Response = load(running, "x", "adapters/x")
    assert reply.status_code == 200
    assert "models.law.weights" in " ".join(reply.json()["unchecked"])
    assert "max_lora_rank" in " ".join(reply.json()["unchecked"])
    unload(running, "x")
    base(sources / "weights")
    config = json.loads(running.file.read_text())
    config["models"]["law"]["weights"] = "adapters/weights"
    running.configure(json.dumps(config))
    assert "32 → 16" in load(running, "x", "adapters/x").json()["error"]["message"]


def test_of_a_quantized_base_modules_are_compared_and_shapes_are_not(
    running: Gateway, engine: VLLM, sources: Path
) -> None:
    config = {"architectures": ["LlamaForCausalLM"], "quantization_config": {"quant_method": "awq"}}
    (sources / "qwen" / "config.json").write_text(json.dumps(config))
    packed = {f"{module}.qweight": torch.zeros(HIDDEN, 2, dtype=torch.int32) for module in MODULES}
    save_file(packed, sources / "qwen" / "model.safetensors")
    peft(sources / "x")
    reply = load(running, "x", "adapters/x")
    assert reply.status_code == 200
    assert "awq" in " ".join(reply.json()["unchecked"])


def test_the_gateway_holds_no_torch(running: Gateway, engine: VLLM, sources: Path) -> None:
    peft(sources / "x")
    assert load(running, "x", "adapters/x").status_code == 200
    mapped = Path(f"/proc/{running.process.pid}/maps").read_text()
    assert "libtorch" not in mapped
    assert np.__name__ in mapped
