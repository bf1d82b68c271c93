"""The SDK, unchanged, against each engine's dialect."""

import subprocess
import sys

import pytest

from tests.fakes.lightllm import LightLLM
from tests.fakes.vllm import VLLM
from tests.gateway.asking import house
from tests.gateway.conftest import Serve
from tests.processes import ROOT, environment


@pytest.mark.parametrize("kind", ["vllm", "lightllm"])
def test_the_sdk_works_on_every_dialect(gateway: Serve, engine: VLLM, lightllm: LightLLM, kind: str) -> None:
    running = gateway(house(engine if kind == "vllm" else lightllm, kind=kind))
    given = environment(
        PRAXIS_TEST_URL=running.url, PRAXIS_TEST_KEY=running.user_key, PRAXIS_TEST_MODEL="law"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/clients"]
    ran = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, timeout=110)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert " passed" in ran.stdout
