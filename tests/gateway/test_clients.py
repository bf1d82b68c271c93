"""The clients, unchanged, against each engine's dialect: both generations of the SDK, and LangChain on the newer."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import faults
from tests.fakes.engine import Engine
from tests.fakes.lightllm import LightLLM
from tests.fakes.openai_server import OpenAIServer
from tests.fakes.vllm import VLLM
from tests.gateway.conftest import Serve
from tests.processes import ENGINE_KEY, ROOT, Gateway, environment

NEWEST = ROOT / ".venv-clients" / "bin" / "python"
THOUGHT = ("Overtime", " is", " work", " beyond", " hours")
TAGGED = ("<thi", "nk>\n", "Let", " me", " see", ".\n", "</think", ">\n\n", "It", " pays")
INSIDE = ("Let", " me", " see", ".</thi", "nk>", "\n", "It", " pays")
STATUSES = {"bad": 400, "limited": 429, "broken": 500, "keyless": 401, "full": 503}


@dataclass
class House:
    """One engine of a dialect that is well, others of it that think or fail, and the gateway before them."""

    kind: str
    well: Engine
    thinking: Engine
    others: dict[str, Engine]
    abilities: str
    refuses: str = ""
    backend: dict[str, Any] = field(default_factory=dict)

    def config(self) -> str:
        """models.yaml."""
        backends = {"well": self.well, "thinking": self.thinking, **self.others}
        thinkers = {
            f"thinks-{each}": {"backend": "thinking", "upstream": "qwen", "thinking": {"field": each}}
            for each in ("reasoning", "reasoning_content", "both")
        }
        lifted = {"field": "both", "lift": True}
        config = {
            "backends": {
                name: {"kind": self.kind, "replicas": [engine.url], **self.backend}
                for name, engine in backends.items()
            },
            "models": {
                "law": {"backend": "well", "upstream": "qwen", "aliases": ["default"], "images": 1},
                **thinkers,
                "tagged": {"backend": "tagged", "upstream": "qwen", "thinking": lifted},
                "inside": {"backend": "inside", "upstream": "qwen", "thinking": lifted | {"opened": True}},
                "unsure": {"backend": "inside", "upstream": "qwen", "thinking": lifted},
                **{name: {"backend": name, "upstream": "qwen"} for name in STATUSES},
            },
        }
        return json.dumps(config)


def engines(kind: str) -> House:
    """The engines of one dialect, not started yet."""
    make: dict[str, Any] = {"vllm": VLLM, "lightllm": LightLLM, "openai": OpenAIServer}
    key = {} if kind == "lightllm" else {"api_key": ENGINE_KEY}

    def engine(**rest: Any) -> Engine:
        made: Engine = make[kind](**key, **rest)
        return made

    others = {"tagged": engine(says=TAGGED), "inside": engine(says=INSIDE)}
    for name, status in STATUSES.items():
        others[name] = engine()
        after = 0.3 if status in (429, 503) else None
        others[name].script.always(faults.status(status, "The engine says why.", retry_after=after))
    every = "tools schema logprobs images" + " responses" * (kind == "vllm")
    lightllm = kind == "lightllm"
    return House(
        kind,
        engine(),
        engine(thinks=THOUGHT),
        others,
        "tools images" if lightllm else every,
        "logprobs schema" if lightllm else "",
        {} if lightllm else {"api_key_env": "ENGINE_KEY"},
    )


@pytest.fixture(params=["vllm", "lightllm", "openai"])
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    """Each dialect's engines, running."""
    made = engines(request.param)
    with ExitStack() as stack:
        for engine in (made.well, made.thinking, *made.others.values()):
            stack.enter_context(engine)
        yield made


def seen(running: Gateway, house: House) -> dict[str, str]:
    """What tests/clients is told of the gateway."""
    gets = {
        "limited": 503 if house.kind == "lightllm" else 429,
        "bad": 400,
        "full": 503,
        "broken": 502,
        "keyless": 502,
    }
    thinkers = {f"thinks-{each}": each for each in ("reasoning", "reasoning_content", "both")}
    thinkers |= dict.fromkeys(("tagged", "inside", "unsure"), "both")
    told = {
        "URL": running.url,
        "KEY": running.user_key,
        "ADMIN_KEY": running.admin_key,
        "MODEL": "law",
        "CAN": house.abilities,
        "THINKING": " ".join(f"{name}={each}" for name, each in thinkers.items()),
        "FAILING": " ".join(f"{name}={status}" for name, status in gets.items()),
        **({"REFUSES": house.refuses} if house.refuses else {}),
    }
    return {f"PRAXIS_TEST_{name}": value for name, value in told.items()}


@pytest.mark.parametrize("python", [Path(sys.executable), NEWEST], ids=["openai-2", "openai-3"])
def test_the_clients_work_unchanged_on_every_dialect(gateway: Serve, house: House, python: Path) -> None:
    running = gateway(house.config())
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/clients"]
    given = environment(**seen(running, house))
    ran = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, timeout=280)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert " passed" in ran.stdout
