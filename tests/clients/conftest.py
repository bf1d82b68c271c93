"""The public API as unchanged clients see it: the `openai` SDK, whichever version is installed, and `langchain_openai`.

The suite knows nothing of Praxis but what an application knows, so that it runs in any environment:
PRAXIS_TEST_URL (the gateway's root), PRAXIS_TEST_KEY and PRAXIS_TEST_MODEL say where and what to ask;
PRAXIS_TEST_EMBEDDING and PRAXIS_TEST_ASSISTANT, where documents are served, name the embedding model and an assistant.
PRAXIS_TEST_CAN and PRAXIS_TEST_REFUSES list what the model's engine can do, and what the gateway refuses in its name
(tools, schema, logprobs, images, responses); PRAXIS_TEST_THINKING lists models that think, each with the field that its thinking is
in (`model=reasoning_content`); PRAXIS_TEST_FAILING lists models that always fail, each with its status (`model=503`).
PRAXIS_TEST_ADMIN_KEY is an operator's key.
A module whose subject is not given, or not installed, is not collected.
"""

import importlib.util
import os

import pytest
from openai import OpenAI

collect_ignore = []
for subject, module in {
    "PRAXIS_TEST_REFUSES": "test_refused.py",
    "PRAXIS_TEST_THINKING": "test_thinking.py",
    "PRAXIS_TEST_FAILING": "test_failing.py",
}.items():
    if subject not in os.environ:
        collect_ignore += [module]
for ability in ("tools", "schema", "logprobs", "images", "responses"):
    if ability not in os.environ.get("PRAXIS_TEST_CAN", "").split():
        collect_ignore += [f"test_{ability}.py", f"test_langchain_{ability}.py"]
if "PRAXIS_TEST_URL" not in os.environ:
    collect_ignore += [
        "test_chat.py",
        "test_completions.py",
        "test_models.py",
        "test_errors.py",
        "test_langchain.py",
    ]
if "PRAXIS_TEST_EMBEDDING" not in os.environ:
    collect_ignore += ["test_embeddings.py"]
if "PRAXIS_TEST_ASSISTANT" not in os.environ:
    collect_ignore += ["test_documents.py"]
if importlib.util.find_spec("langchain_openai") is None:
    collect_ignore_glob = ["test_langchain*.py"]


@pytest.fixture(scope="session")
def base_url() -> str:
    """What a client is given as `base_url`."""
    return os.environ["PRAXIS_TEST_URL"].rstrip("/") + "/v1"


@pytest.fixture(scope="session")
def key() -> str:
    """The key of an ordinary user."""
    return os.environ["PRAXIS_TEST_KEY"]


@pytest.fixture(scope="session")
def model() -> str:
    """A model that chats."""
    return os.environ["PRAXIS_TEST_MODEL"]


@pytest.fixture(scope="session")
def embedding() -> str:
    """A model that embeds."""
    return os.environ["PRAXIS_TEST_EMBEDDING"]


@pytest.fixture(scope="session")
def assistant() -> str:
    """An assistant that answers from documents."""
    return os.environ["PRAXIS_TEST_ASSISTANT"]


@pytest.fixture(scope="session")
def client(base_url: str, key: str) -> OpenAI:
    """The SDK as an application sets it up."""
    return OpenAI(base_url=base_url, api_key=key, timeout=240, max_retries=0)
