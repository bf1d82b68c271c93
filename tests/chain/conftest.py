"""One whole Praxis for the room, started as an operator starts it: `praxis up` with SmolLM2 on the real vLLM."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI
from playwright.sync_api import Browser, Page

from praxis.section import read_secret
from tests.browser import page_of
from tests.processes import ROOT, environment, eventually, free_port, praxis

MODEL = "smollm2"
QUESTION = "What is the magic word?"
ANSWER = "The magic word is xylophone."
READY_SECONDS = 600.0

CONFIG = """\
server: {{adapter_roots: [{adapters}]}}
backends:
  local:
    kind: vllm
    replicas: [http://127.0.0.1:{engine}]
    api_key_env: CHAIN_ENGINE_KEY
    launch:
      {{model: smollm2, max_model_len: 8192, enable_lora: true, max_loras: 2, max_lora_rank: 16,
        enable_auto_tool_choice: true, tool_call_parser: hermes}}
models:
  smollm2: {{backend: local, upstream: smollm2, aliases: [default], defaults: {{temperature: 0, max_tokens: 64}}}}
  rambler: {{backend: local, upstream: smollm2, defaults: {{temperature: 0, max_tokens: 7000, ignore_eos: true}}}}
rag: {{url: "http://127.0.0.1:{rag}"}}
assistants:
  labour-law: {{model: smollm2, knowledge: [labour-law], top_k: 2, max_tokens: 60}}
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test of the room waits for a whole stack, which takes minutes on a slow machine."""
    room = Path(__file__).parent
    for item in items:
        if room in item.path.parents:
            item.add_marker(pytest.mark.timeout(READY_SECONDS + 300))


@dataclass
class Stack:
    """A running `praxis up`: where its parts listen, and the keys that it showed."""

    folder: Path
    urls: dict[str, Any]
    admin_key: str
    user_key: str
    output: str

    @property
    def url(self) -> str:
        return str(self.urls["gateway"])

    def openai(self, key: str | None = None) -> OpenAI:
        """The SDK as an application would set it up."""
        return OpenAI(base_url=f"{self.url}/v1", api_key=key or self.user_key, timeout=240, max_retries=0)

    def praxis(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a `praxis` command as the operator."""
        return praxis(*arguments, cwd=self.folder, PRAXIS_API_KEY=self.admin_key, PRAXIS_GATEWAY_URL=self.url)


@pytest.fixture(scope="session")
def prepared() -> Path:
    """The home in which `make test` prepared engine and weights, which tests only read."""
    home = ROOT / ".praxis"
    if not (home / "models").is_dir():
        pytest.fail(
            "Nothing is prepared: run `MODEL=smollm2 .venv/bin/praxis up --prepare` first, as `make test` does."
        )
    return home


@pytest.fixture(scope="session")
def stack(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything running, with a home of its own that shares only what was prepared."""
    folder = tmp_path_factory.mktemp("chain")
    home = folder / ".praxis"
    home.mkdir()
    (prepared / "downloads").mkdir(exist_ok=True)  # rag fetches the embedding model at its first start
    for shared in ("engines", "models", "downloads"):
        (home / shared).symlink_to(prepared / shared)
    (folder / "adapters").mkdir()
    config = CONFIG.format(adapters=folder / "adapters", engine=free_port(), rag=free_port())
    (folder / "models.yaml").write_text(config)
    log = folder / "up.log"
    command = [
        sys.executable,
        "-m",
        "praxis",
        "up",
        "--port",
        str(free_port()),
        "--ui-port",
        str(free_port()),
    ]
    inherited = environment()
    del inherited["PRAXIS_RAG_SECRET"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=inherited, stdout=output, stderr=output)
    ready = home / "run" / "ready.json"
    try:
        eventually(lambda: ready.exists() or _ended(process, log), "the stack is ready", READY_SECONDS)
        yield _described(folder, ready, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)


def _ended(process: "subprocess.Popen[bytes]", log: Path) -> bool:
    assert process.poll() is None, f"`praxis up` ended:\n{log.read_text()}"
    return False


def _described(folder: Path, ready: Path, log: Path) -> Stack:
    output = log.read_text()
    keys = dict(re.findall(r"(admin|user)\s+(sk-praxis-\S+)", output))
    return Stack(folder, json.loads(ready.read_text()), keys["admin"], keys["user"], output)


@pytest.fixture(scope="session")
def engine_url(stack: Stack) -> str:
    """The real engine's own address."""
    return str(next(iter(stack.urls["engines"].values())))


@pytest.fixture(scope="session")
def engine_key(stack: Stack) -> str:
    """The key that `praxis up` made for the engine."""
    file = stack.folder / ".praxis" / "secrets" / "CHAIN_ENGINE_KEY"
    os.environ["CHAIN_ENGINE_KEY_FILE"] = str(file)
    key = read_secret("CHAIN_ENGINE_KEY")
    assert key
    return key


@pytest.fixture(scope="session")
def adapter(prepared: Path, stack: Stack) -> Path:
    """A LoRA trained on the spot, which answers one question its own way."""
    out = stack.folder / "adapters" / "magic"
    model = next(path for path in (prepared / "models").iterdir() if "smollm2" in path.name.lower())
    script = Path(__file__).with_name("lora.py")
    subprocess.run(
        [sys.executable, str(script), str(model), str(out), QUESTION, ANSWER], check=True, timeout=600
    )
    return out


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    """Raw HTTP with the user's key."""
    headers = {"authorization": f"Bearer {stack.user_key}"}
    with httpx.Client(base_url=stack.url, headers=headers, timeout=240) as client:
        yield client


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with page_of(browser, width=1400) as page:
        yield page
