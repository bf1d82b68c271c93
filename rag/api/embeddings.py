"""`/v1/embeddings`: the vectors of the embedding model that documents are indexed with."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from praxis.errors import InvalidRequest, ModelNotFound
from rag.api.bodies import Body, text
from rag.index.embedding import Embedder

_MOST = 2048


def routes(embedder: Embedder, decode: Callable[[Sequence[int]], str]) -> APIRouter:
    """The route; `decode` makes text of cl100k_base tokens, which is what LangChain sends by default."""
    router = APIRouter()

    @router.post("/v1/embeddings")
    async def create(body: Body) -> dict[str, Any]:
        model = text(body, "model", 256)
        if model != embedder.name:
            raise ModelNotFound(model or "", [embedder.name])
        if body.get("dimensions", embedder.dimensions) != embedder.dimensions:
            raise InvalidRequest(
                f"`dimensions` must be {embedder.dimensions}: `{embedder.name}` makes no others.",
                param="dimensions",
            )
        encoding = body.get("encoding_format", "float")
        if encoding not in ("float", "base64"):
            raise InvalidRequest("`encoding_format` must be `float` or `base64`.", param="encoding_format")
        texts = await run_in_threadpool(_texts, body.get("input"), decode)
        embed = embedder.queries if _is_query(body) else embedder.passages
        vectors = await run_in_threadpool(embed, texts)
        used = await run_in_threadpool(lambda: sum(embedder.count(each) for each in texts))
        return {
            "object": "list",
            "model": embedder.name,
            "data": [
                {"object": "embedding", "index": at, "embedding": _encoded(row, encoding)}
                for at, row in enumerate(vectors)
            ],
            "usage": {"prompt_tokens": used, "total_tokens": used},
        }

    return router


def _is_query(body: dict[str, Any]) -> bool:
    kind = body.get("input_type", "passage")
    if kind not in ("query", "passage"):
        raise InvalidRequest("`input_type` must be `query` or `passage`.", param="input_type")
    return bool(kind == "query")


def _texts(value: Any, decode: Callable[[Sequence[int]], str]) -> list[str]:
    """What to embed, in order: a string, strings, tokens, or lists of tokens."""
    items = value if isinstance(value, list) else [value]
    if items and all(isinstance(each, int) for each in items):
        items = [items]
    if not items or len(items) > _MOST:
        raise InvalidRequest(f"`input` must hold 1 to {_MOST} texts.", param="input")
    return [_text(each, decode) for each in items]


def _text(item: Any, decode: Callable[[Sequence[int]], str]) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, list) and all(isinstance(each, int) and not isinstance(each, bool) for each in item):
        try:
            return decode(item)
        except (KeyError, ValueError, OverflowError):
            raise InvalidRequest(
                "`input` holds tokens that are none of cl100k_base's.", param="input"
            ) from None
    raise InvalidRequest("`input` must be a string, or a list of strings or of token lists.", param="input")


def _encoded(row: Any, encoding: str) -> str | list[float]:
    values = np.asarray(row, "<f4")
    return base64.b64encode(values.tobytes()).decode() if encoding == "base64" else values.tolist()
