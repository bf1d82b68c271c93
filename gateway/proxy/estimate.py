"""How many tokens a request has, before or without an engine's count of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.proxy.call import Call

_LARGE = 16 * 1024
_PICTURE = 1_024
_PICTURE_TOKENS = 1_000
_MOST = 10_000_000


def cost(call: Call) -> int:
    """How many tokens a request may use: a quarter of its prompt's bytes, and the most that it lets be answered."""
    data = call.data
    most = data.get("max_completion_tokens") or data.get("max_tokens") or data.get("max_output_tokens") or 0
    answers = data.get("n") or 1
    asked = most * answers if type(most) is int and type(answers) is int and most > 0 and answers > 0 else 0
    return min(prompt_tokens(call) + asked, _MOST)


def prompt_tokens(call: Call) -> int:
    """About how many tokens a prompt has. A picture in it counts as a picture, not as its letters."""
    size = len(call.raw)
    if size < _LARGE:
        return size // 4
    pictures = list(_pictures(call.data.get("messages") or call.data.get("input")))
    return max(0, size - sum(pictures)) // 4 + _PICTURE_TOKENS * len(pictures)


def _pictures(messages: Any) -> Iterator[int]:
    """The lengths of what messages carry as `data:` URLs or base64."""
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            for name, value in part.items() if isinstance(part, dict) else ():
                for text in value.values() if isinstance(value, dict) else (value,):
                    if name != "text" and isinstance(text, str) and len(text) > _PICTURE:
                        yield len(text)
