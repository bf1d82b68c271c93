"""What a model thought before it answered, taken out of an answer that carries it."""

from __future__ import annotations

_OPEN, _CLOSE = "<think>", "</think>"


def without_thinking(text: str) -> str:
    """`text` after its last `</think>`; nothing where the thinking never ended; as it is where there is none.

    Some chat templates end the prompt with `<think>`, so an answer may hold the end only.
    """
    _, closed, answer = text.rpartition(_CLOSE)
    if closed:
        return answer.lstrip()
    return text.split(_OPEN, 1)[0].rstrip() if _OPEN in text else text
