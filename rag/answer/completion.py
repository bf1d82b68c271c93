"""A grounded answer as a chat completion.

Streaming, the evidence travels in a chunk of its own right before the finish: clients that merge deltas would
concatenate or refuse a list that comes in two (openai's `.stream()`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from rag.answer.citations import Evidence
from rag.answer.form import Search, data
from rag.answer.reply import Failure, Pieces, with_delta

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Completion:
    """The form of `/v1/chat/completions`: under the `name` that was asked for, with the `usage` chunk or without."""

    name: str
    usage: bool
    lists_passages: bool = False

    def whole(self, completion: dict[str, Any], evidence: Evidence, search: Search) -> dict[str, Any]:
        completion["choices"][0]["message"].update(evidence.fields())
        return completion | {"model": self.name}

    async def stream(self, pieces: Pieces, search: Search) -> AsyncIterator[bytes]:
        """Ends in an error event, without `[DONE]`, where the model's breaks."""
        async for piece in pieces:
            if isinstance(piece, Failure):
                yield data(piece.body)
                return
            chunk = piece.chunk | {"model": self.name}
            if piece.evidence is not None:
                yield data(with_delta(chunk, piece.evidence.fields(), logprobs=False))
            if chunk.get("choices") or self.usage:
                yield data(chunk)
        yield DONE
