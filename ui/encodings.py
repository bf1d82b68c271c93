"""How the beginning of a text file reads in each encoding that it may be in."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

HEAD = 1 << 16
"""Bytes of a file by which its readings are told."""

ENCODINGS = {
    "utf-8": "utf-8",
    "gb18030": "gb18030",
    "big5": "big5hkscs",
    "utf-16-le": "utf-16-le",
    "utf-16-be": "utf-16-be",
    "shift_jis": "cp932",
    "euc-kr": "cp949",
    "windows-1252": "cp1252",
}
"""Encodings by the name that the gateway is told, each with that of Python's decoder."""

_MARKED = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le"}
"""What decoders are called that read a mark at the beginning, too."""

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Reading:
    """The beginning of a text as it reads in an encoding."""

    encoding: str
    text: str


def meant(decoder: str) -> str:
    """Which of `ENCODINGS` a file was read in, by the name of the gateway's decoder; empty for one that is none of them."""
    name = _MARKED.get(decoder, decoder)
    known = ENCODINGS.items()
    return next((each for each, codec in known if name in (codec, codecs.lookup(each).name)), "")


def readings(head: bytes) -> list[Reading]:
    """How a file that begins with these bytes may read: without the encodings into which they do not fit, and without
    those in which they are no text. `head` may end within a character."""
    found = []
    for encoding, codec in ENCODINGS.items():
        try:
            text = codecs.getincrementaldecoder(codec)().decode(head)
        except UnicodeDecodeError:
            continue
        text = text.lstrip("\ufeff")
        if text.strip() and len(_CONTROL.findall(text)) <= len(text) // 1000:
            found.append(Reading(encoding, text))
    return found
