"""A model's chat completion on its way back, given markers and evidence; and the one said when nothing was found.

A stream comes in pieces, whichever form the client gets it in: chunks of the model's own with their text annotated, the
evidence beside the chunk that finishes, and a failure in the place of an end.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from praxis.errors import InternalError, PraxisError, UpstreamError
from rag.answer.citations import Evidence, Reading

logger = logging.getLogger("praxis.rag")

Chunk = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk, and with the one that finishes the answer its evidence, which comes before it."""

    chunk: Chunk
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """How a stream ended that broke: `body` is an error in the one shape."""

    body: dict[str, Any]


Pieces = AsyncIterator[Piece | Failure]


async def annotated(completion: dict[str, Any], reading: Reading) -> tuple[dict[str, Any], Evidence]:
    """A whole completion, its text given markers, and its evidence."""
    choice = completion["choices"][0]
    message = choice.setdefault("message", {})
    if isinstance(message.get("content"), str):
        complete = choice.get("finish_reason") != "length"
        text = await reading.feed(message["content"])
        message["content"] = text + await reading.close(complete=complete)
    return completion, await reading.evidence()


async def annotated_stream(events: AsyncIterator[bytes], reading: Reading) -> Pieces:
    """A stream of the model's events, annotated as it passes; the last piece is a Failure where it broke."""
    finished = False
    try:
        async with aclosing(_parsed(events)) as chunks:
            async for chunk in chunks:
                if chunk.get("error"):
                    yield Failure({"error": chunk["error"]})
                    return
                if not chunk.get("choices"):
                    yield Piece(chunk)
                    continue
                finished = finished or chunk["choices"][0].get("finish_reason") is not None
                for piece in await _pieces(chunk, reading):
                    yield piece
        if not finished:
            raise UpstreamError("The stream from the model ended without a finish. Ask again.")
    except PraxisError as error:
        yield Failure(error.body())
    except Exception:
        # The edge of the process: headers are out, so whatever went wrong can only be told as an error event.
        logger.exception("answering failed in mid-stream")
        yield Failure(InternalError("Praxis failed while it answered; its log has the details.").body())


async def _parsed(events: AsyncIterator[bytes]) -> AsyncGenerator[Chunk]:
    async for payload in events:
        if payload == b"[DONE]":
            return
        try:
            chunk = json.loads(payload)
        except ValueError as error:
            raise UpstreamError(
                "The stream from the model holds something that is not JSON. Ask again."
            ) from error
        if isinstance(chunk, dict):
            yield chunk
    raise UpstreamError("The stream from the model broke off before its end. Ask again.")


async def _pieces(chunk: Chunk, reading: Reading) -> list[Piece]:
    """What one chunk of the model becomes: nothing while text is held back, at the finish what was held and the end."""
    choice = chunk["choices"][0]
    delta = choice.get("delta") or {}
    content = delta.get("content")
    if content:
        delta["content"] = await reading.feed(content)
    reason = choice.get("finish_reason")
    if reason is None:
        held = content and not delta["content"] and not choice.get("logprobs")
        empty = held and all(value is None for key, value in delta.items() if key != "content")
        return [] if empty else [Piece(with_delta(chunk, delta))]
    rest = (delta.get("content") or "") + await reading.close(complete=reason != "length")
    if rest or "content" in delta:
        delta["content"] = rest
    speaks = any(value for value in delta.values()) or choice.get("logprobs")
    said = [Piece(with_delta(chunk, delta))] if speaks else []
    last = chunk | {"choices": [choice | {"delta": {}, "logprobs": None}]}
    return [*said, Piece(last, await reading.evidence())]


def with_delta(chunk: Chunk, delta: dict[str, Any], *, logprobs: bool = True) -> Chunk:
    """A chunk like this one that carries only `delta`; the usage and the finish stay for the last."""
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    if logprobs and (given := chunk["choices"][0].get("logprobs")):
        choice["logprobs"] = given
    return {key: value for key, value in chunk.items() if key != "usage"} | {"choices": [choice]}


def said(text: str, *, refusal: bool) -> dict[str, Any]:
    """A completion that says `text` without a model; as a `refusal` where the client expects a form of its own."""
    message = {
        "role": "assistant",
        "content": None if refusal else text,
        "refusal": text if refusal else None,
    }
    return _envelope("chat.completion") | {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": _no_usage(),
    }


async def said_stream(text: str, *, refusal: bool) -> Pieces:
    """`said` as a stream."""
    envelope = _envelope("chat.completion.chunk")
    deltas: list[tuple[dict[str, Any], str | None, Evidence | None]] = [
        ({"role": "assistant", "content": ""}, None, None),
        ({"refusal" if refusal else "content": text}, None, None),
        ({}, "stop", Evidence()),
    ]
    for delta, reason, evidence in deltas:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        yield Piece(envelope | {"choices": [choice]}, evidence)
    yield Piece(envelope | {"choices": [], "usage": _no_usage()})


def _envelope(kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time())}


def _no_usage() -> dict[str, int]:
    return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
