"""One fake engine and one route for each module of answering; every test finds them as new."""

from collections.abc import Iterator

import pytest

from tests.fakes.vllm import VLLM
from tests.processes import eventually
from tests.rag.answer.asking import SAYS
from tests.rag.answer.corpus import Corpus, articles
from tests.rag.answer.serving import Answering


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[VLLM, Corpus, Answering]]:
    """One engine and one route for the module; `engine` and `corpus` put them back for each test."""
    corpus = Corpus()
    with VLLM("qwen") as running:
        with Answering(tmp_path_factory.mktemp("rag"), running.url, corpus) as route:
            yield running, corpus, route
        eventually(lambda: running.open == 0, "no connection to the model is left")


@pytest.fixture
def engine(served: tuple[VLLM, Corpus, Answering]) -> VLLM:
    running = served[0]
    running.says, running.thinks, running.calls_tools = SAYS, (), False
    running.script.calm()
    running.next_says.clear()
    running.seen.clear()
    return running


@pytest.fixture
def corpus(served: tuple[VLLM, Corpus, Answering]) -> Corpus:
    served[1].passages = articles()
    served[1].asked.clear()
    return served[1]


@pytest.fixture
def answering(served: tuple[VLLM, Corpus, Answering], engine: VLLM, corpus: Corpus) -> Answering:
    return served[2]
