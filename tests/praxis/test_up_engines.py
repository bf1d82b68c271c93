"""From `launch` in models.yaml to an engine's command line."""

import json
from pathlib import Path

import pytest

from praxis.config import Config, load
from praxis.errors import PraxisError
from praxis.up.engines import command, command_flags, cpu_dtype, cpu_threads, environment, planned, program
from praxis.up.progress import Progress


def write(folder: Path, launch: str, kind: str = "vllm", replicas: str = "[http://127.0.0.1:8123]") -> Config:
    """A configuration with one launched backend."""
    file = folder / "models.yaml"
    file.write_text(
        f"backends:\n  local:\n    kind: {kind}\n    replicas: {replicas}\n    api_key_env: TOY_ENGINE_KEY\n"
        f"    launch: {launch}\n"
        "models:\n  toy: {backend: local, upstream: toy-served}\n  twin: {backend: local, upstream: toy-served}\n"
    )
    return load(file)


def silent(text: str, fraction: float | None = None) -> None:
    """A report that nobody reads."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that looks like a model."""
    folder = tmp_path / "toy-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 2048}))
    return folder


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"max_model_len": 4096}, ["--max-model-len", "4096"]),
        ({"enable-lora": True}, ["--enable-lora"]),
        ({"enable_prefix_caching": False}, ["--no-enable-prefix-caching"]),
        ({"tokenizer": None}, []),
        ({"gpu_memory_utilization": 0.85}, ["--gpu-memory-utilization", "0.85"]),
        ({"tokenizer": "a folder/with spaces"}, ["--tokenizer", "a folder/with spaces"]),
        ({"hf_overrides": {"a": 1, "b": "条"}}, ["--hf-overrides", '{"a": 1, "b": "条"}']),
        ({"served_model_name": ["a", "b"]}, ["--served-model-name", "a", "b"]),
        (
            {"lora_modules": [{"name": "x", "path": "/p"}]},
            ["--lora-modules", '{"name": "x", "path": "/p"}'],
        ),
    ],
)
def test_every_flag_is_passed_on_by_its_own_name(flags: dict[str, object], words: list[str]) -> None:
    assert command_flags(flags) == words


def test_the_command_on_a_cpu(tmp_path: Path, model: Path) -> None:
    config = write(tmp_path, "{model: ./toy-model, max_model_len: 1024, enable_lora: true}")
    [engine] = planned(config, silent)
    made = environment(config, "cpu")
    words = command(engine, made, "cpu")
    assert words[:5] == [str(made.python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    assert words[5:] == [
        *("--host", "127.0.0.1", "--port", "8123", "--served-model-name", "toy-served"),
        *("--enforce-eager", "--dtype", words[words.index("--dtype") + 1], "--max-model-len", "1024"),
        "--enable-lora",
    ]


def test_an_engine_of_a_merged_adapter_serves_it_by_name_and_revision(tmp_path: Path, model: Path) -> None:
    config = write(tmp_path, "{model: ./toy-model}")
    (model / "praxis-merge.json").write_text(json.dumps({"revision": "0123456789ab"}))
    text = config.path.read_text()
    config.path.write_text(
        text.replace(
            "models:",
            "  apart: {kind: vllm, replicas: ['http://127.0.0.1:8124'], launch: {model: ./toy-model}}\nmodels:",
        )
        + "adapters:\n  medical: {base: toy, source: toy-model, mode: merged, backend: apart}\n"
    )
    engines = planned(load(config.path), silent)
    assert [engine.served for engine in engines] == [("toy-served",), ("medical@0123456789ab",)]


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [
        ("flags : fpu avx avx2", "float32"),
        ("flags : avx2 avx512f avx512_bf16", "bfloat16"),
        ("flags : avx512f amx_bf16 amx_tile", "bfloat16"),
        ("Features : fp asimd bf16", "bfloat16"),
    ],
)
def test_a_cpu_computes_in_what_it_has_instructions_for(flags: str, dtype: str) -> None:
    assert cpu_dtype(flags) == dtype


def test_the_command_on_a_gpu_leaves_kernels_and_precision_to_the_engine(tmp_path: Path, model: Path) -> None:
    config = write(tmp_path, "{model: ./toy-model, tensor_parallel_size: 2}")
    [engine] = planned(config, silent)
    made = environment(config, "cuda")
    assert command(engine, made, "cuda") == [
        *(str(made.folder / "bin" / "vllm"), "serve", str(model)),
        *("--host", "127.0.0.1", "--port", "8123", "--served-model-name", "toy-served"),
        *("--tensor-parallel-size", "2"),
    ]


def test_the_operators_flags_win_over_the_defaults(tmp_path: Path, model: Path) -> None:
    config = write(tmp_path, "{model: ./toy-model, dtype: float32, enforce_eager: false}")
    words = command(planned(config, silent)[0], environment(config, "cpu"), "cpu")
    assert words[words.index("--dtype") + 1] == "float32"
    assert "--no-enforce-eager" in words
    assert "--enforce-eager" not in words


def test_the_engine_gets_its_key_by_environment_only(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_ENGINE_KEY", "very-secret")
    config = write(tmp_path, "{model: ./toy-model}")
    described = program(planned(config, silent)[0], config, environment(config, "cpu"), "cpu")
    assert described.environment["VLLM_API_KEY"] == "very-secret"
    assert described.environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "1"
    assert described.environment["HF_HUB_OFFLINE"] == "1"
    assert "very-secret" not in " ".join(described.command)


@pytest.mark.parametrize(
    ("engines", "cores", "threads"), [(1, 2, "2"), (1, 3, "3"), (2, 2, "1"), (2, 8, "4"), (3, 2, "1")]
)
def test_on_few_cores_or_beside_others_an_engine_gets_its_share(
    engines: int, cores: int, threads: str
) -> None:
    assert cpu_threads(engines, cores) == {
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": threads,
    }


def test_one_engine_on_many_cores_is_left_to_vllm() -> None:
    assert cpu_threads(1, 4) == {}


def test_how_many_threads_may_be_said_in_the_environment(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    urls = "[http://127.0.0.1:8123, http://127.0.0.1:8124]"
    config = write(tmp_path, "{model: ./toy-model}", replicas=urls)
    described = program(planned(config, silent)[0], config, environment(config, "cpu"), "cpu")
    assert described.environment["OMP_NUM_THREADS"] == "7"


def test_one_engine_for_each_replica(tmp_path: Path, model: Path) -> None:
    config = write(
        tmp_path, "{model: ./toy-model}", replicas="[http://127.0.0.1:8123, http://127.0.0.1:8124]"
    )
    engines = planned(config, silent)
    assert [(engine.name, engine.url) for engine in engines] == [
        ("engine-local-1", "http://127.0.0.1:8123"),
        ("engine-local-2", "http://127.0.0.1:8124"),
    ]


@pytest.mark.parametrize(
    ("launch", "kind", "replicas", "sentence"),
    [
        ("{model: nowhere}", "vllm", "[http://127.0.0.1:1]", "There is no model folder .*nowhere"),
        ("{model: a/b/c}", "vllm", "[http://127.0.0.1:1]", "There is no model folder .*a/b/c"),
        ("{model: empty}", "vllm", "[http://127.0.0.1:1]", "holds no config.json"),
        ("{model: toy-model}", "lightllm", "[http://127.0.0.1:1]", "starts vLLM only"),
        ("{model: toy-model}", "vllm", "[http://10.1.2.3:1]", "not on this machine"),
    ],
)
def test_what_cannot_be_launched_is_one_sentence(
    tmp_path: Path, model: Path, launch: str, kind: str, replicas: str, sentence: str
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PraxisError, match=sentence) as refused:
        planned(write(tmp_path, launch, kind, replicas), silent)
    assert "\n" not in refused.value.message


def test_a_hub_that_does_not_answer_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(PraxisError, match="`nobody/nothing` is no folder here and the model hub"):
        planned(write(tmp_path, "{model: nobody/nothing}"), silent)


def test_progress_says_what_how_much_and_how_long(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    with pytest.raises(RuntimeError), progress.step("Weights"):
        raise RuntimeError
    with progress.step("Engine"):
        pass
    assert capsys.readouterr().out.splitlines() == ["✗ Weights  0:00", "✓ Engine  0:00"]
