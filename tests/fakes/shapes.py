"""Parts of OpenAI's answers that more than one fake engine gives alike. What an engine does its own way stays with it."""

import base64
import struct
from collections.abc import Sequence
from typing import Any

from tests.fakes.saying import Said

PROMPT_TOKENS = 31


def spoken(body: dict[str, Any], answer: Said) -> int:
    """Tokens of all the answers to a request, thinking included."""
    return (answer.count + len(answer.thinks)) * (body.get("n") or 1)


def usage(body: dict[str, Any], answer: Said) -> dict[str, Any]:
    """Usage with its details."""
    tokens = spoken(body, answer)
    return {
        "prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens, "total_tokens": PROMPT_TOKENS + tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": len(answer.thinks)},
    }  # fmt: skip


def chat_logprobs(body: dict[str, Any], words: Sequence[str]) -> dict[str, Any] | None:
    """The `logprobs` of a chat's choice, where they are asked for."""
    if not body.get("logprobs"):
        return None
    seats = [{"token": word, "logprob": -0.5, "bytes": list(word.encode())} for word in words]
    best = body.get("top_logprobs") or 0
    return {"content": [{**seat, "top_logprobs": [dict(seat)] * best} for seat in seats]}


def text_logprobs(body: dict[str, Any], words: Sequence[str]) -> dict[str, Any] | None:
    """The `logprobs` of a completion's choice, where they are asked for: the chosen tokens alone."""
    if body.get("logprobs") is None:
        return None
    return {
        "text_offset": [sum(map(len, words[:number])) for number in range(len(words))],
        "token_logprobs": [-0.5] * len(words), "tokens": list(words),
        "top_logprobs": [{word: -0.5} for word in words],
    }  # fmt: skip


def embeddings(body: dict[str, Any], vector: Sequence[float]) -> list[dict[str, Any]]:
    """The `data` of an embeddings answer: this vector for each input, as numbers or as base64."""
    given = body["input"]
    count = len(given) if isinstance(given, list) and given and isinstance(given[0], str | list) else 1
    embedding: str | list[float] = list(vector)
    if body.get("encoding_format") == "base64":
        embedding = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    return [{"object": "embedding", "index": index, "embedding": embedding} for index in range(count)]
