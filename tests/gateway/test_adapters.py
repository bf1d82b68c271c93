"""Adapters are loaded into every replica of a running engine and answer under their own name, with no restart."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.fakes.vllm import VLLM
from tests.gateway.asking import ask, house
from tests.gateway.conftest import Serve
from tests.processes import Gateway, eventually, praxis


def peft(folder: Path, rank: int = 8) -> Path:
    """A PEFT folder as training leaves it."""
    folder.mkdir(parents=True)
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 16, "target_modules": ["q_proj"],
              "base_model_name_or_path": "qwen", "bias": "none"}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config))
    at = "base_model.model.model.layers.0.self_attn.q_proj"
    shapes = {"lora_A": (rank, 16), "lora_B": (16, rank)}
    save_file({f"{at}.{side}.weight": np.zeros(size, "float32") for side, size in shapes.items()},
              folder / "adapter_model.safetensors")  # fmt: skip
    return folder


@pytest.fixture
def sources(standing_gateway: Gateway) -> Iterator[Path]:
    """The gateway's folder `adapters` with two adapters, one of them too big for the engines."""
    folder = standing_gateway.folder / "adapters"
    peft(folder / "medical")
    peft(folder / "big", rank=64)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def running(gateway: Serve, sources: Path, engine: VLLM, other: VLLM) -> Iterator[Gateway]:
    """A gateway before two replicas; what a test loads is unloaded after it."""
    running = gateway(house(engine, other))
    yield running
    for name in [card["id"] for card in running.models().values() if card["parent"]]:
        unload(running, name)


def held(*engines: VLLM) -> list[set[str]]:
    """The adapters that each engine holds, by public name: engines see `name@revision`."""
    return [{name.partition("@")[0] for name in engine.loaded} for engine in engines]


def load(running: Gateway, name: str, source: str, base: str = "law") -> httpx.Response:
    """Load an adapter as an operator does."""
    body = {"name": name, "base": base, "source": source}
    return running.post("/admin/v1/adapters", key=running.admin_key, json=body)


def unload(running: Gateway, name: str) -> httpx.Response:
    """Unload an adapter as an operator does."""
    return running.request("DELETE", f"/admin/v1/adapters/{name}", key=running.admin_key)


def test_a_loaded_adapter_answers_at_once_from_every_replica(
    running: Gateway, engine: VLLM, other: VLLM, sources: Path, stream: bool
) -> None:
    assert ask(running, model="medical").status == 404
    reply = load(running, "medical", "adapters/medical")
    assert reply.status_code in (200, 201), reply.text
    assert held(engine, other) == [{"medical"}, {"medical"}]
    assert engine.loaded == other.loaded
    assert set(engine.loaded.values()) == {str(sources / "medical")}
    card = running.models()["medical"]
    assert card["parent"] == "law"
    assert str(running.folder) not in json.dumps(card)
    for _ in range(6):
        answer = ask(running, stream=stream, model="medical")
        assert answer.status == 200
        assert b'"model":"medical"' in answer.raw
        assert answer.headers["x-praxis-model"] == "medical"
    assert {request.json["model"] for request in engine.asked + other.asked} == set(engine.loaded)
    assert ask(running, stream=stream).status == 200


def test_an_adapter_sees_the_pictures_that_its_base_sees(running: Gateway, engine: VLLM, other: VLLM) -> None:
    running.configure(house(engine, other, images=2))
    load(running, "medical", "adapters/medical")
    assert running.models()["medical"]["images"] == 2


def test_an_unloaded_adapter_is_gone_everywhere(running: Gateway, engine: VLLM, other: VLLM) -> None:
    load(running, "medical", "adapters/medical")
    assert unload(running, "medical").status_code in (200, 204)
    assert engine.loaded == other.loaded == {}
    assert "medical" not in running.models()
    reply = ask(running, model="medical")
    assert reply.status == 404
    assert reply.error is not None
    assert reply.error["code"] == "model_not_found"
    assert unload(running, "medical").status_code == 404


def test_a_refused_load_names_the_reason_and_leaves_nothing(
    running: Gateway, engine: VLLM, other: VLLM
) -> None:
    engine.max_lora_rank = 128
    reply = load(running, "big", "adapters/big")
    assert 400 <= reply.status_code < 600
    assert "max_lora_rank 16" in reply.json()["error"]["message"]
    assert engine.loaded == other.loaded == {}
    assert "big" not in running.models()
    assert ask(running, model="big").status == 404
    other.max_lora_rank = 128
    assert load(running, "big", "adapters/big").status_code in (200, 201)
    assert ask(running, model="big").status == 200


def test_an_engine_without_adapters_says_how_to_have_them(
    running: Gateway, engine: VLLM, other: VLLM
) -> None:
    engine.adapters = other.adapters = False
    reply = load(running, "medical", "adapters/medical")
    assert 400 <= reply.status_code < 600
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" in reply.json()["error"]["message"]
    assert "medical" not in running.models()


def test_a_load_while_one_replica_is_down_is_refused_or_made_good_when_it_is_back(
    running: Gateway, engine: VLLM, other: VLLM
) -> None:
    other.refuse()
    load(running, "medical", "adapters/medical")
    other.listen()
    loaded = "medical" in running.models()
    eventually(lambda: held(engine, other) == [{"medical"} if loaded else set()] * 2, "replicas agree")


@pytest.mark.parametrize("source", ["/etc", "../outside", "adapters/../../outside", "adapters/link"])
def test_a_source_outside_the_roots_is_400(
    running: Gateway, engine: VLLM, sources: Path, tmp_path: Path, source: str
) -> None:
    outside = running.folder / "outside"
    if not outside.exists():
        peft(outside)
    (sources / "link").symlink_to(outside)
    reply = load(running, "stolen", source)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert "adapter_roots" in reply.json()["error"]["message"]
    assert not engine.loaded


BAD = [
    ({"name": "x", "base": "nobody", "source": "adapters/medical"}, "nobody"),
    ({"name": "law", "base": "law", "source": "adapters/medical"}, "law"),
    ({"name": "default", "base": "law", "source": "adapters/medical"}, "default"),
    ({"name": "x", "base": "law", "source": "adapters/missing"}, "missing"),
    ({"name": "", "base": "law", "source": "adapters/medical"}, "name"),
    ({"name": "a b", "base": "law", "source": "adapters/medical"}, "name"),
    ({"base": "law", "source": "adapters/medical"}, "name"),
    ({"name": "x", "source": "adapters/medical"}, "base"),
    ({"name": "x", "base": "law"}, "source"),
]


@pytest.mark.parametrize(
    ("body", "word"), BAD, ids=lambda value: json.dumps(value) if isinstance(value, dict) else value
)
def test_a_bad_load_is_refused_in_one_sentence(
    running: Gateway, engine: VLLM, body: dict[str, str], word: str
) -> None:
    reply = running.post("/admin/v1/adapters", key=running.admin_key, json=body)
    assert reply.status_code in (400, 404, 409)
    assert word in reply.json()["error"]["message"]
    assert not engine.loaded


def test_loading_twice_changes_nothing(running: Gateway, engine: VLLM) -> None:
    assert load(running, "medical", "adapters/medical").status_code in (200, 201)
    assert load(running, "medical", "adapters/medical").status_code in (200, 201, 409)
    assert held(engine) == [{"medical"}]
    assert ask(running, model="medical").status == 200


def test_an_engine_that_restarts_has_its_adapters_again(running: Gateway, engine: VLLM, other: VLLM) -> None:
    load(running, "medical", "adapters/medical")
    engine.refuse()
    engine.loaded.clear()
    engine.listen()
    eventually(lambda: held(engine) == [{"medical"}], "the adapter is loaded again")
    assert ask(running, model="medical").status == 200


def test_a_gateway_that_restarts_knows_its_adapters(own_gateway: Serve, tmp_path: Path, engine: VLLM) -> None:
    peft(tmp_path / "adapters" / "medical")
    running = own_gateway(house(engine))
    assert load(running, "medical", "adapters/medical").status_code == 200
    running.__exit__()
    engine.loaded.clear()
    running.__enter__()
    eventually(lambda: held(engine) == [{"medical"}], "the adapter is loaded again")
    eventually(lambda: ask(running, model="medical").status == 200, "the adapter answers")
    assert running.models()["medical"]["parent"] == "law"


def test_adapters_of_the_file_are_loaded_and_a_reload_takes_them_out(
    running: Gateway, engine: VLLM, other: VLLM
) -> None:
    config = json.loads(running.file.read_text())
    config["adapters"] = {"nursing": {"base": "law", "source": "adapters/medical"}}
    running.configure(json.dumps(config))
    eventually(lambda: held(engine, other) == [{"nursing"}] * 2, "the file's adapter is loaded")
    eventually(lambda: ask(running, model="nursing").status == 200, "it answers")
    assert running.models()["nursing"]["parent"] == "law"
    del config["adapters"]
    running.configure(json.dumps(config))
    assert "nursing" not in running.models()
    eventually(lambda: not engine.loaded and not other.loaded, "it is unloaded")


def test_new_content_under_a_live_name_replaces_the_old(
    running: Gateway, engine: VLLM, other: VLLM, sources: Path
) -> None:
    load(running, "medical", "adapters/medical")
    before = set(engine.loaded)
    peft(sources / "medical-2", rank=4)
    assert load(running, "medical", "adapters/medical-2").status_code == 200
    assert held(engine, other) == [{"medical"}, {"medical"}]
    assert not before & set(engine.loaded)
    assert ask(running, model="medical").status == 200


def test_the_command_does_the_same(running: Gateway, engine: VLLM) -> None:
    def adapters(*arguments: str, key: str = running.admin_key) -> "subprocess.CompletedProcess[str]":
        return praxis("adapters", *arguments, "--url", running.url, cwd=running.folder, PRAXIS_API_KEY=key)

    loaded = adapters("load", "medical", "--base", "law", "--source", "adapters/medical")
    assert loaded.returncode == 0, loaded.stderr
    assert held(engine) == [{"medical"}]
    assert "medical" in adapters("list").stdout
    assert adapters("unload", "medical").returncode == 0
    assert not engine.loaded
    refused = adapters("load", "medical", "--base", "law", "--source", "adapters/missing")
    assert refused.returncode == 1
    assert "missing" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert "admin" in adapters("list", key=running.user_key).stderr
