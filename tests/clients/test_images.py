"""Pictures in a question, by the SDK, as data URLs."""

import base64
import struct
import zlib
from typing import Any

import pytest
from openai import OpenAI


def png(side: int) -> str:
    """A grey square as a data URL."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes([128]) * side for _ in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    file = (
        b"\x89PNG\r\n\x1a\n"
        + part(b"IHDR", head)
        + part(b"IDAT", zlib.compress(rows, 0))
        + part(b"IEND", b"")
    )
    return "data:image/png;base64," + base64.b64encode(file).decode()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("side", [8, 1500], ids=["small", "2-megabytes"])
def test_a_picture_is_looked_at(client: OpenAI, model: str, side: int, stream: bool) -> None:
    content = [
        {"type": "text", "text": "What is on it?"},
        {"type": "image_url", "image_url": {"url": png(side), "detail": "low"}},
    ]
    messages: Any = [{"role": "user", "content": content}]
    answer: Any = client.chat.completions.create(model=model, messages=messages, max_tokens=8, stream=stream)
    if stream:
        assert "".join(chunk.choices[0].delta.content or "" for chunk in answer)
    else:
        assert answer.choices[0].message.content
