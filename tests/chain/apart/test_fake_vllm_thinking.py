"""The fake vLLM that thinks is held to a real one with a reasoning parser, which is an engine of its own."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chain.test_fake_vllm import CHAT, MESSAGES, kinds, shape
from tests.fakes.vllm import VLLM
from tests.processes import environment, eventually, free_port

pytestmark = pytest.mark.chain

# The tiny model does not think: it is held to a text that Granite's parser reads as thinking, for that one needs no
# token of its own in the vocabulary.
THOUGHT = "Here is my thought process: hm. Here is my response: ok."
FLAGS = ["--reasoning-parser", "granite", "--structured-outputs-config", '{"enable_in_reasoning": true}']


@pytest.fixture(scope="module")
def real(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The prepared engine, started with a reasoning parser."""
    engine = prepared / "engines" / "cpu" / "bin"
    weights = next(path for path in (prepared / "models").iterdir() if "smollm2" in path.name.lower())
    port = free_port()
    command = [str(engine / "python"), "-m", "vllm.entrypoints.openai.api_server", "--model", str(weights)]
    command += ["--served-model-name", "qwen", "--host", "127.0.0.1", "--port", str(port), "--enforce-eager"]
    command += ["--max-model-len", "2048", "--dtype", "float32", *FLAGS]
    given = environment(
        PATH=f"{engine}{os.pathsep}{os.environ['PATH']}", HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1",
        VLLM_CPU_KVCACHE_SPACE="1",
    )  # fmt: skip
    log = tmp_path_factory.mktemp("thinking") / "engine.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=log.parent, env=given, stdout=output, stderr=output)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
        try:
            eventually(lambda: _healthy(client, process, log), "the engine is ready", within=600)
            yield client
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _healthy(client: httpx.Client, process: "subprocess.Popen[bytes]", log: Path) -> bool:
    assert process.poll() is None, f"the engine ended:\n{log.read_text()[-4000:]}"
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def fake() -> Iterator[httpx.Client]:
    """The fake that thinks."""
    engine = VLLM("qwen", thinks=("hm", "."), says=("o", "k"), multimodal=False)
    with engine, httpx.Client(base_url=engine.url, timeout=30) as client:
        yield client


ASKED: dict[str, dict[str, Any]] = {
    "plain": {"temperature": 0},
    "two": {"n": 2, "temperature": 0.7},
    "stream": {"stream": True, "temperature": 0},
    "stream-usage": {"stream": True, "stream_options": {"include_usage": True}},
    "stream-two": {"stream": True, "n": 2, "temperature": 0.7},
}


@pytest.mark.parametrize("name", ASKED)
def test_thinking_has_the_real_one_s_field_and_shape(
    real: httpx.Client, fake: httpx.Client, name: str
) -> None:
    asked = {"model": "qwen", "messages": MESSAGES, "max_tokens": 120, **ASKED[name]}
    theirs = real.post(CHAT, json={**asked, "structured_outputs": {"choice": [THOUGHT]}})
    ours = fake.post(CHAT, json=asked)
    assert theirs.status_code == ours.status_code == 200, theirs.text
    if asked.get("stream"):
        assert sorted(map(repr, kinds(ours))) == sorted(map(repr, kinds(theirs)))
    else:
        assert shape(ours.json()) == shape(theirs.json())
        assert theirs.json()["choices"][0]["message"]["reasoning"].strip() == "hm."
