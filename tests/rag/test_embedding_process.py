"""Passages are embedded in a bounded process beside the service: whatever ends it costs no file, and no search."""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import anyio
import numpy as np
import psutil
import pytest

from rag.index.embedding import Embedder
from rag.ingest.document import Unreadable
from rag.ingest.embedding import EmbeddingProcess
from rag.ingest.standing import Standing
from rag.ingest.worker import Limits
from tests.processes import eventually, gone
from tests.rag.conftest import Rag

TEXTS = [
    "劳动者在法定休假日工作的，应当支付工资报酬。",
    "试用期最长不得超过六个月。",
    "a passage in English",
    "",
]


def at_work(of: psutil.Process, name: str) -> list[psutil.Process]:
    """The living children of a process that do the work of this name."""
    found = []
    for each in of.children():
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is none that works
            if name in each.cmdline():
                found.append(each)
    return found


def embedding(embedder: Embedder, work: Callable[[EmbeddingProcess], Awaitable[None]], **limits: int) -> None:
    """Have `work` done with an embedding process of these limits."""

    async def run() -> None:
        process = EmbeddingProcess(embedder, replace(Limits(), **limits))
        try:
            await work(process)
        finally:
            await process.close()

    anyio.run(run)


def test_its_vectors_are_those_of_the_service(embedder: Embedder) -> None:
    async def work(process: EmbeddingProcess) -> None:
        assert np.allclose(await process.vectors(TEXTS), embedder.passages(TEXTS), atol=1e-5)
        (running,) = at_work(psutil.Process(), "embed")
        bound, _ = running.rlimit(psutil.RLIMIT_AS)
        assert 0 < bound < 32 << 30
        assert running.nice() > 0
        running.kill()
        eventually(lambda: gone([running]), "it is gone")
        assert (await process.vectors(TEXTS[:1])).shape == (1, embedder.dimensions)

    embedding(embedder, work)


@pytest.mark.parametrize(
    "limits", [{"embedding_processor": 0}, {"embedding_wall": 0}], ids=["processor", "wall"]
)
def test_what_takes_too_long_is_told(embedder: Embedder, limits: dict[str, int]) -> None:
    async def work(process: EmbeddingProcess) -> None:
        with pytest.raises(Unreadable, match="too much time or memory"):
            await process.vectors(["劳动者应当按时到岗。" * 80] * 200)
        await anyio.to_thread.run_sync(eventually, lambda: not at_work(psutil.Process(), "embed"), "it ends")

    embedding(embedder, work, **limits)


def test_a_process_that_nobody_needs_ends_and_comes_back(embedder: Embedder) -> None:
    async def run() -> None:
        bounds = (str(2 << 30), "60", "100", embedder.tokenizer)
        standing = Standing("split", *bounds, wall=100, idle=0.01)
        job = {"text": "一。二。", "marked": [], "limit": 100, "overlap": 0}
        for _ in range(2):
            assert await standing.do(job) is not None
            await anyio.to_thread.run_sync(
                eventually, lambda: not at_work(psutil.Process(), "split"), "it ends"
            )
        await standing.close()

    anyio.run(run)


def test_a_killed_embedder_costs_no_file_and_no_vector_is_made_twice(rag: Rag) -> None:
    client = rag.client("embedding")
    store = client.vector_stores.create(name="embedding").id
    paragraphs = [
        f"备忘第{number}号：请财务核对第{number}季度的加班工资，" + "并留档备查。" * 30
        for number in range(150)
    ]
    text = "\n\n".join(paragraphs)
    file = client.files.create(file=("memo.txt", text.encode()), purpose="assistants").id
    client.vector_stores.files.create(store, file_id=file)
    service = psutil.Process(rag.process.pid)
    before = len(rag.log.read_text())
    for _ in range(2):
        running = eventually(lambda: at_work(service, "embed"), "passages are being embedded")
        running[0].kill()
        eventually(partial(gone, running), "the process is gone")
        assert client.vector_stores.search(store, query="加班").data == []
    entry = client.vector_stores.files.poll(file, vector_store_id=store, poll_interval_ms=200)
    assert entry.status == "completed", entry.last_error
    assert client.vector_stores.search(store, query="第七季度的加班工资").data
    assert "Traceback" not in rag.log.read_text()[before:]
