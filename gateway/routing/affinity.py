"""What a request has in common with others that should meet the same replica, for the sake of its prefix cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import orjson

Affinity = Literal["session", "prefix", "none"]

PREFIX = 512
"""Characters of each message (or of the prompt) that count. Later ones differ more than a cache would gain."""


def prefix(data: Mapping[str, Any]) -> str | None:
    """The beginning of a conversation: its messages up to the first of the user's, which every later turn repeats."""
    messages = data.get("messages") or data.get("input")
    parts = [_text(given)] if (given := data.get("instructions")) else []
    if not isinstance(messages, list):
        prompt = data.get("prompt") or messages
        return "\n".join([*parts, _text(prompt)]) if prompt else None
    for message in messages:
        if not isinstance(message, dict):
            return None
        parts.append(_text(message.get("content")))
        if message.get("role") == "user":
            break
    return "\n".join(parts) or None


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content[:PREFIX]
    # Several parts, images among them: their beginning tells them apart well enough.
    return orjson.dumps(content)[:PREFIX].decode(errors="replace")
