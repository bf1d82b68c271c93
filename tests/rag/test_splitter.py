"""Splitting happens in a bounded process: what is too much for it fails alone, and the next text is split all the same."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
import openai
import psutil
import pytest

from rag.index.embedding import Embedder
from rag.ingest.chunking import chunks
from rag.ingest.document import Document, Unreadable
from rag.ingest.splitter import Splitter
from rag.ingest.worker import Limits
from tests.processes import eventually, gone
from tests.rag.conftest import SAMPLES, Rag
from tests.rag.test_embedding_process import at_work

LAW = (SAMPLES / "中华人民共和国劳动法.txt").read_text(encoding="utf-8")
ENDLESS = "第一条\n" * 60_000
SLOW = "甲" * 4_000_000


def splitting(embedder: Embedder, work: Callable[[Splitter], Awaitable[None]], **limits: int) -> None:
    """Have `work` done with a splitter of these limits."""

    async def run() -> None:
        splitter = Splitter(embedder.tokenizer, replace(Limits(), **limits))
        try:
            await work(splitter)
        finally:
            await splitter.close()

    anyio.run(run)


def test_it_splits_as_the_tokenizer_counts(embedder: Embedder) -> None:
    async def work(splitter: Splitter) -> None:
        for text, limit, overlap in ((LAW, 200, 0), ("劳动者应当按时到岗。" * 500, 100, 40)):
            split = await splitter.split(Document(text), limit, overlap)
            assert split.chunks == list(chunks(text, limit, embedder.count, overlap))
        assert (await splitter.split(Document(LAW), 400, 0)).laws == [
            {
                "law": "劳动法",
                "title": "中华人民共和国劳动法",
                "version": "2018-12-29",
                "effective": "2018-12-29",
            }
        ]

    splitting(embedder, work)


@pytest.mark.parametrize(
    ("text", "limits", "reason"),
    [
        (SLOW, {"processor": 2}, "more time or memory"),
        (SLOW, {"wall": 1}, "more time or memory"),
        (ENDLESS, {}, "more than 50,000 passages"),
        ("乙" * 20_000_000, {"memory": 400_000_000}, "more time or memory"),
    ],
    ids=["processor", "wall", "passages", "memory"],
)
def test_what_is_too_much_is_told_and_the_next_text_is_split(
    embedder: Embedder, text: str, limits: dict[str, int], reason: str
) -> None:
    async def work(splitter: Splitter) -> None:
        with pytest.raises(Unreadable) as refused:
            await splitter.split(Document(text), 400, 0)
        assert refused.value.code == "invalid_file"
        assert reason in refused.value.message
        if "wall" not in limits:
            assert (await splitter.split(Document(LAW), 400, 0)).chunks

    splitting(embedder, work, **limits)


def test_a_file_of_too_many_passages_fails_alone_and_a_killed_splitter_is_replaced(rag: Rag) -> None:
    client = rag.client("splitting")
    store = client.vector_stores.create(name="splitting").id

    def ingested(name: str, text: str) -> openai.types.vector_stores.VectorStoreFile:
        file = client.files.create(file=(name, text.encode()), purpose="assistants").id
        return client.vector_stores.files.create_and_poll(file, vector_store_id=store, poll_interval_ms=200)

    endless = ingested("endless.txt", ENDLESS)
    assert endless.last_error is not None
    assert "more than 50,000 passages; cut it in parts" in endless.last_error.message
    assert ingested("a.txt", "加班工资的备忘：请财务核对加班工资。").status == "completed"
    splitters = at_work(psutil.Process(rag.process.pid), "split")
    assert len(splitters) == 1
    splitters[0].kill()
    eventually(lambda: gone(splitters), "the splitter is gone")
    assert ingested("c.txt", "工伤的备忘：请行政核对。").status == "completed"
