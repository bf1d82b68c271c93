"""A merged adapter is a model of its own behind the adapter's name: it goes live, is compared and goes back like a hot one."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.lightllm import LightLLM
from tests.fakes.vllm import VLLM
from tests.gateway.asking import COMPLETIONS, ask, house
from tests.gateway.conftest import Serve
from tests.gateway.test_adapters import held, load, peft, unload
from tests.processes import Gateway, eventually, praxis

REVISION = "0123456789ab"
ADAPTERS = "/admin/v1/adapters"


def merged(folder: Path, revision: str = REVISION) -> Path:
    """A merged model's folder, as far as the gateway looks at it."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "praxis-merge.json").write_text(json.dumps({"revision": revision}))
    return folder


@pytest.fixture
def sources(standing_gateway: Gateway) -> Iterator[Path]:
    folder = standing_gateway.folder / "adapters"
    peft(folder / "hot")
    merged(folder / "merged")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=[VLLM, LightLLM])
def apart(request: pytest.FixtureRequest) -> Iterator[VLLM | LightLLM]:
    """An engine that serves the merged model, and loads no adapters."""
    kind: type[VLLM | LightLLM] = request.param
    more = {"adapters": False} if kind is VLLM else {}
    with kind(f"medical@{REVISION}", says=("merged", " says"), **more) as running:
        yield running


def house_of(engine: VLLM, apart: VLLM | LightLLM, **sections: Any) -> str:
    config = json.loads(house(engine))
    kind = "vllm" if isinstance(apart, VLLM) else "lightllm"
    config["backends"]["apart"] = {"kind": kind, "replicas": [apart.url]}
    return json.dumps(config | sections)


@pytest.fixture
def running(gateway: Serve, sources: Path, engine: VLLM, apart: VLLM | LightLLM) -> Iterator[Gateway]:
    running = gateway(house_of(engine, apart))
    yield running
    running.configure(house_of(engine, apart))
    for each in running.get(ADAPTERS, key=running.admin_key).json()["data"]:
        unload(running, each["name"])


def load_merged(running: Gateway, **more: str) -> Any:
    body = {"name": "medical", "base": "law", "source": "adapters/merged", "backend": "apart"} | more
    return running.post(ADAPTERS, key=running.admin_key, json=body)


def said(running: Gateway, model: str = "medical") -> str:
    reply = ask(running, model=model)
    assert reply.status == 200, reply.raw
    assert reply.headers["x-praxis-model"] == "medical"
    return reply.text


def test_a_name_goes_from_hot_to_merged_and_back(
    running: Gateway, engine: VLLM, apart: VLLM | LightLLM, stream: bool
) -> None:
    hot = load(running, "medical", "adapters/hot").json()["revision"]
    assert said(running) != "merged says"
    reply = load_merged(running, why="LightLLM is faster")
    assert reply.status_code == 200, reply.text
    assert reply.json()["revision"] == REVISION
    first = next(request for request in apart.seen if request.path == COMPLETIONS)
    assert first.json["max_tokens"] == 1, "the engine was warmed before the name turned to it"
    answer = ask(running, stream=stream, model="medical")
    assert answer.text == "merged says"
    assert b'"model":"medical"' in answer.raw
    assert answer.headers["x-praxis-backend"] == "apart"
    assert apart.asked[-1].json["model"] == f"medical@{REVISION}"
    assert running.models()["medical"]["parent"] == "law"
    rolled = running.post(f"{ADAPTERS}/medical/rollback", key=running.admin_key)
    assert rolled.status_code == 200, rolled.text
    assert rolled.json()["revision"] == hot
    assert said(running) != "merged says"
    assert said(running, f"medical@{REVISION}") == "merged says"
    promoted = running.post(f"{ADAPTERS}/medical/promote", key=running.admin_key, json={"revision": REVISION})
    assert promoted.status_code == 200, promoted.text
    assert said(running) == "merged says"
    history = running.get(f"{ADAPTERS}/medical/history", key=running.admin_key).json()["data"]
    assert [each["after"] for each in history][-4:] == [hot, REVISION, hot, REVISION]


def test_a_merged_model_takes_a_share(running: Gateway, apart: VLLM | LightLLM) -> None:
    load(running, "medical", "adapters/hot")
    body = {"name": "medical", "base": "law", "source": "adapters/merged", "backend": "apart", "stage": True}
    assert running.post(ADAPTERS, key=running.admin_key, json=body).status_code == 200
    canary = {"revision": REVISION, "share": "50%"}
    assert (
        running.request("PUT", f"{ADAPTERS}/medical/canary", key=running.admin_key, json=canary).status_code
        == 200
    )
    answers = {said(running) for _ in range(40)}
    assert len(answers) == 2
    assert "merged says" in answers


def test_an_engine_that_does_not_serve_it_changes_nothing(
    running: Gateway, engine: VLLM, apart: VLLM | LightLLM
) -> None:
    load(running, "medical", "adapters/hot")
    before = said(running)
    apart.model = "something else"
    reply = load_merged(running)
    assert reply.status_code == 503
    assert f"medical@{REVISION}" in reply.json()["error"]["message"]
    assert "--served-model-name" in reply.json()["error"]["message"]
    assert said(running) == before
    assert held(engine) == [{"medical"}]


def test_a_name_of_the_file_waits_for_its_engine(
    running: Gateway, engine: VLLM, apart: VLLM | LightLLM
) -> None:
    hot = {"base": "law", "source": "adapters/hot"}
    running.configure(house_of(engine, apart, adapters={"medical": hot}))
    eventually(lambda: ask(running, model="medical").status == 200, "the hot one answers")
    before = said(running)
    apart.model = "something else"
    section = {"base": "law", "source": "adapters/merged", "mode": "merged", "backend": "apart"}
    running.configure(house_of(engine, apart, adapters={"medical": section}))
    assert said(running) == before
    apart.model = f"medical@{REVISION}"
    eventually(lambda: said(running) == "merged says", "the name turns to the merged model", within=40)
    eventually(lambda: held(engine) == [set()], "the engine has forgotten the hot one", within=40)
    unloads = [request for request in apart.seen if request.path.endswith("lora_adapter")]
    assert not unloads, "a merged model is no adapter of its engine"


def test_a_merged_model_alone(running: Gateway, apart: VLLM | LightLLM) -> None:
    assert load_merged(running).status_code == 200
    assert said(running) == "merged says"
    listed = running.get(f"{ADAPTERS}/medical", key=running.admin_key).json()
    assert [each["backend"] for each in listed["revisions"]] == ["apart"]
    assert listed["replicas"] == [{"url": apart.url, "loaded": True}]
    assert unload(running, "medical").status_code == 200
    assert ask(running, model="medical").status == 404
    assert not [request for request in apart.seen if request.path.endswith("lora_adapter")]


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"backend": "nowhere"}, "nowhere"),
        ({"source": "adapters/hot"}, "praxis adapters merge"),
        ({"source": "/etc"}, "adapter_roots"),
    ],
)
def test_what_is_no_merged_model_is_refused(running: Gateway, more: dict[str, str], word: str) -> None:
    reply = load_merged(running, **more)
    assert reply.status_code == 400
    assert word in reply.json()["error"]["message"]
    assert "medical" not in running.models()


def test_the_command_does_the_same(running: Gateway) -> None:
    result = praxis("adapters", "load", "medical", "--base", "law", "--source", "adapters/merged", "--backend", "apart",
                    "--url", running.url, cwd=running.folder, PRAXIS_API_KEY=running.admin_key)  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert f"medical@{REVISION} is live on 1 of 1 replicas of `apart`" in result.stdout
    assert said(running) == "merged says"
