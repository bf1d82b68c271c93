"""Chat completions on their way back: the model's own, annotated, and the one said when nothing was found.

Streaming, the evidence travels in a chunk of its own right before the finish: clients that merge deltas would
concatenate or refuse a list that comes in two (openai's `.stream()`).
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from praxis.errors import InternalError, PraxisError, UpstreamError
from rag.answer.citations import Evidence, Reading

logger = logging.getLogger("praxis.rag")

Chunk = dict[str, Any]


def encode(chunk: Chunk) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


async def annotate(completion: dict[str, Any], name: str, reading: Reading) -> dict[str, Any]:
    """A whole completion, its message given markers and evidence, under the name that was asked for."""
    choice = completion["choices"][0]
    message = choice.setdefault("message", {})
    if isinstance(message.get("content"), str):
        complete = choice.get("finish_reason") != "length"
        text = await reading.feed(message["content"])
        message["content"] = text + await reading.close(complete=complete)
    message.update((await reading.evidence()).fields())
    return completion | {"model": name}


async def annotate_stream(
    events: AsyncIterator[bytes], name: str, reading: Reading, *, usage: bool
) -> AsyncIterator[bytes]:
    """A stream of chunks, annotated as it passes. Ends in an error event, without `[DONE]`, where the model's breaks.

    `usage` says whether the client asked for the usage chunk.
    """
    finished = False
    try:
        async with aclosing(_parsed(events)) as chunks:
            async for chunk in chunks:
                if chunk.get("error"):
                    yield encode(chunk)
                    return
                chunk["model"] = name
                if not chunk.get("choices"):
                    if usage:
                        yield encode(chunk)
                    continue
                finished = finished or chunk["choices"][0].get("finish_reason") is not None
                for part in await _parts(chunk, reading):
                    yield encode(part)
        if not finished:
            raise UpstreamError("The stream from the model ended without a finish. Ask again.")
    except PraxisError as error:
        yield encode(error.body())
        return
    except Exception:
        # The edge of the process: headers are out, so whatever went wrong can only be told as an error event.
        logger.exception("answering failed in mid-stream")
        yield encode(InternalError("Praxis failed while it answered; its log has the details.").body())
        return
    yield DONE


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


async def _parts(chunk: Chunk, reading: Reading) -> list[Chunk]:
    """What one chunk of the model becomes: nothing while text is held back, three at the finish."""
    choice = chunk["choices"][0]
    delta = choice.get("delta") or {}
    content = delta.get("content")
    if content:
        delta["content"] = await reading.feed(content)
    reason = choice.get("finish_reason")
    if reason is None:
        held = content and not delta["content"] and not choice.get("logprobs")
        empty = held and all(value is None for key, value in delta.items() if key != "content")
        return [] if empty else [_with(chunk, delta)]
    rest = (delta.get("content") or "") + await reading.close(complete=reason != "length")
    if rest or "content" in delta:
        delta["content"] = rest
    evidence = (await reading.evidence()).fields()
    said = [_with(chunk, delta)] if any(value for value in delta.values()) or choice.get("logprobs") else []
    last = chunk | {"choices": [choice | {"delta": {}, "logprobs": None}]}
    return [*said, _with(chunk, evidence, logprobs=False), last]


def _with(chunk: Chunk, delta: dict[str, Any], *, logprobs: bool = True) -> Chunk:
    """A chunk like this one that carries only `delta`; the usage and the finish stay for the last."""
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    if logprobs and (given := chunk["choices"][0].get("logprobs")):
        choice["logprobs"] = given
    return {key: value for key, value in chunk.items() if key != "usage"} | {"choices": [choice]}


def said(text: str, name: str, *, refusal: bool) -> dict[str, Any]:
    """A completion that says `text` without a model; as a `refusal` where the client expects a form of its own."""
    message = {
        "role": "assistant",
        "content": None if refusal else text,
        "refusal": text if refusal else None,
    }
    return _envelope("chat.completion", name) | {
        "choices": [
            {"index": 0, "message": message | Evidence().fields(), "finish_reason": "stop", "logprobs": None}
        ],
        "usage": _no_usage(),
    }


async def said_stream(text: str, name: str, *, refusal: bool, usage: bool) -> AsyncIterator[bytes]:
    """`said` as a stream."""
    envelope = _envelope("chat.completion.chunk", name)
    deltas: list[tuple[dict[str, Any], str | None]] = [
        ({"role": "assistant", "content": ""}, None),
        ({"refusal" if refusal else "content": text}, None),
        (Evidence().fields(), None),
        ({}, "stop"),
    ]
    for delta, reason in deltas:
        yield encode(envelope | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
    if usage:
        yield encode(envelope | {"choices": [], "usage": _no_usage()})
    yield DONE


def _envelope(kind: str, name: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": name}


def _no_usage() -> dict[str, int]:
    return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
