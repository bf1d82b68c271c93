"""The same tests of the public API under both generations of the SDK: 2.x here, 3.x and LangChain in `.venv-clients`."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chain.conftest import MODEL, Stack
from tests.processes import ROOT, environment

pytestmark = pytest.mark.chain

NEWEST = ROOT / ".venv-clients" / "bin" / "python"


@pytest.mark.parametrize("python", [Path(sys.executable), NEWEST], ids=["openai-2", "openai-3"])
def test_the_sdks_and_langchain_work_unchanged(stack: Stack, python: Path) -> None:
    given = environment(
        PRAXIS_TEST_URL=stack.url,
        PRAXIS_TEST_KEY=stack.user_key,
        PRAXIS_TEST_MODEL=MODEL,
        PRAXIS_TEST_ASSISTANT="labour-law",
        PRAXIS_TEST_EMBEDDING="multilingual-e5-small",
        PRAXIS_TEST_CAN="schema logprobs responses",
    )
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/clients"]
    ran = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert " passed" in ran.stdout
