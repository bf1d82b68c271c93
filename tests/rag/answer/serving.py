"""The chat route served for real, in front of a fake engine that stands for the gateway."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn
from fastapi import FastAPI, Request

from praxis import http_errors
from praxis.audit import Audit
from praxis.config import load
from praxis.errors import NotFound
from praxis.state import connect
from rag.api import chat, responses
from rag.api.answering import Answers
from rag.generation import Generation
from tests.processes import eventually, free_port
from tests.rag.answer.corpus import Corpus

CONFIG = """
backends:
  local: {kind: vllm, replicas: [http://127.0.0.1:9]}
models:
  qwen: {backend: local, upstream: qwen}
assistants:
  labour: {model: qwen, knowledge: [labour-law]}
  terse: {model: qwen, knowledge: [labour-law], prompt: Be terse., max_tokens: 7, top_k: 1, language: en}
  strict: {model: qwen, knowledge: [labour-law], min_score: 0.99}
  literal: {model: qwen, knowledge: [labour-law], rewrite: false}
  unfilled: {model: qwen, knowledge: [nowhere]}
"""


class Links:
    """Links without a signature, readable in an assertion."""

    def passage(self, file_id: str, start: int, end: int, tenant: str, key: str) -> str:
        return f"https://praxis.test/v1/files/{file_id}/passage?start={start}&end={end}&tenant={tenant}"


@dataclass
class Permits:
    """Everybody may search what the corpus has, for ever."""

    corpus: Corpus
    withdrawn: int = 0

    async def permit(self, request: Request, store_ids: Sequence[str]) -> None:
        for store_id in store_ids:
            if store_id not in {each.store_id for each in self.corpus.passages}:
                raise NotFound(f"There is no vector store `{store_id}`.", param="tools")


class Answering:
    """The route on a free port, alive inside `with`; it generates at `gateway`, which knows it by `secret`."""

    def __init__(self, folder: Path, gateway: str, corpus: Corpus, secret: str = "rag-secret") -> None:
        (folder / "models.yaml").write_text(CONFIG)
        config = load(folder / "models.yaml")
        self.port = free_port()
        self.generation = Generation(gateway, secret)

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            async with self.generation:
                yield

        app = FastAPI(lifespan=lifespan)
        http_errors.install(app)

        audit = Audit(connect(config.state))
        answers = Answers(corpus, self.generation, Links(), Permits(corpus), audit)
        app.include_router(chat.routes(answers, lambda: config))
        app.include_router(responses.routes(answers, lambda: config))
        self._server = uvicorn.Server(uvicorn.Config(app, port=self.port, log_level="warning"))
        self._thread = threading.Thread(target=self._server.run, name=f"answering-{os.getpid()}", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        eventually(lambda: self._server.started, "the route is served")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(60)
