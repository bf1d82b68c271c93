"""`MODEL=…`: another model through the same configuration, the operator's file left as it is."""

import json
from pathlib import Path

import pytest

from praxis.config import load
from praxis.errors import PraxisError
from praxis.up.substitute import served_name, substitute

FILE = """
state: sqlite:///data/state.db
backends:
  local:
    kind: vllm
    replicas: [http://127.0.0.1:8000]
    launch: {model: embedded, max_model_len: 4096, enable_lora: true}
  far: {kind: openai, replicas: [https://example.org]}
models:
  small: {backend: local, upstream: small, aliases: [default, tiny], fallback: [large], defaults: {temperature: 0.1}}
  large: {backend: far, upstream: large-1, fallback: [small]}
adapters:
  medical: {base: small, source: adapters/medical}
assistants:
  labour-law: {model: small, knowledge: [labour-law]}
  doctor: {model: medical, knowledge: [guidelines]}
  expert: {model: large, knowledge: [labour-law]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The operator's file, its adapter and another model."""
    for folder, content in (("adapters/medical", "adapter_config.json"), ("New Model", "config.json")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / content).write_text(json.dumps({"max_position_embeddings": 2048}))
    (tmp_path / "models.yaml").write_text(FILE)
    return tmp_path / "models.yaml"


def test_the_new_model_takes_the_place_of_the_old(file: Path) -> None:
    before = load(file)
    after = substitute(before, "./New Model")
    launch = after.backends["local"].launch
    assert launch
    assert launch.model == str(file.parent / "New Model")
    assert launch.flags == {"max_model_len": 2048, "enable_lora": True}
    new = after.models["new-model"]
    assert (new.backend, new.upstream, new.aliases) == ("local", "new-model", ["default", "tiny"])
    assert (new.defaults, new.fallback) == ({"temperature": 0.1}, ["large"])
    assert after.models["large"].fallback == ["new-model"]
    assert sorted(after.models) == ["large", "new-model"]
    assert after.adapters == {}
    assert {name: each.model for name, each in after.assistants.items()} == {
        "labour-law": "new-model",
        "doctor": "new-model",
        "expert": "large",
    }


def test_state_and_home_stay_where_they_were_and_the_file_as_it_was(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load(file)
    monkeypatch.setenv("PRAXIS_HOME", str(before.home))
    after = substitute(before, "smollm2")
    assert after.state == before.state
    assert after.home == before.home
    assert after.adapter_roots() == before.adapter_roots()
    assert file.read_text() == FILE


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("smollm2", "smollm2"),
        ("Qwen/Qwen3-0.6B", "qwen3-0.6b"),
        ("/models/My Model, final/", "my-model-final"),
        ("模型/条文", "条文"),
    ],
)
def test_the_served_name_comes_from_the_model(model: str, name: str) -> None:
    assert served_name(model) == name


def test_without_a_launched_backend_it_is_one_sentence(file: Path) -> None:
    file.write_text(
        "backends: {far: {kind: openai, replicas: [https://example.org]}}\n"
        "models: {large: {backend: far, upstream: l}}\n"
    )
    with pytest.raises(PraxisError, match="needs exactly one backend with `launch`"):
        substitute(load(file), "smollm2")
