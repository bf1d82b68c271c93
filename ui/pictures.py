"""Pictures that somebody attaches to a question: a photograph, a scan, a screenshot, whatever the file may really be.

Nothing that a file says of itself is believed. It is told by its first bytes, measured before it is unpacked, and drawn
anew in a process of its own, `python pictures.py MEMORY SECONDS SIDE` from standard input to standard output, which ends
itself when it takes more than it is given. What comes out has no metadata: no place, no time, no camera.
"""

from __future__ import annotations

import base64
import io
import json
import resource
import subprocess
import sys
from dataclasses import dataclass, replace
from threading import BoundedSemaphore
from typing import Any

FILE_LIMIT = 20  # MB of a file as it is attached
PIXELS = 64  # millions that it may have
SIDE = 2048  # pixels of its longer side, at most, as it is sent
BYTES = 1_000_000  # of it as it is sent
EACH = 4  # pictures of a question
SENT = 12  # pictures of a request, earlier ones among them: a gateway takes 25 MiB
MEMORY = 1_000  # MB of address space that drawing it may take
SECONDS = 20  # of processor time for it

_KINDS = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF87a": "GIF", b"GIF89a": "GIF"}
_PHONE = (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1")
_DRAWN_AT_ONCE = BoundedSemaphore(2)


class Unreadable(Exception):
    """The file is no picture that can be shown; `reason` is a locale key below `picture.file`, `values` fill it in."""

    def __init__(self, reason: str, **values: object) -> None:
        super().__init__(reason)
        self.reason = reason
        self.values = values


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it is sent and kept: its file's `name`, its media type and its bytes."""

    name: str
    kind: str
    content: bytes

    @property
    def url(self) -> str:
        """The picture itself as a URL."""
        return f"data:{self.kind};base64,{base64.b64encode(self.content).decode('ascii')}"


def read(name: str, content: bytes, side: int = SIDE) -> Picture:
    """The picture in a file, upright, at most `side` pixels long and `BYTES` heavy. Raises Unreadable."""
    if not content:
        raise Unreadable("empty")
    if len(content) > FILE_LIMIT * 1_000_000:
        raise Unreadable("too_large", limit=FILE_LIMIT)
    if content[4:12] in _PHONE:
        raise Unreadable("heic")
    if _kind(content) is None:
        raise Unreadable("unknown")
    return replace(_drawn_apart(content, side), name=name)


def smaller(picture: Picture, side: int) -> Picture | None:
    """The picture for a document, None where it turns out to be none: whoever kept it may have sent anything."""
    try:
        return read(picture.name, picture.content, side)
    except Unreadable:
        return None


def _kind(content: bytes) -> str | None:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for head, kind in _KINDS.items() if content.startswith(head)), None)


def _drawn_apart(content: bytes, side: int) -> Picture:
    """Drawn in a process that holds none of this one's secrets."""
    command = [sys.executable, "-I", __file__, str(MEMORY), str(SECONDS), str(side)]
    try:
        with _DRAWN_AT_ONCE:
            done = subprocess.run(command, input=content, capture_output=True, env={}, timeout=4 * SECONDS)
    except subprocess.TimeoutExpired:
        raise Unreadable("broken") from None
    if done.returncode:
        raise Unreadable("broken")
    line, _, drawn = done.stdout.partition(b"\n")
    told = json.loads(line)
    if "unreadable" in told:
        raise Unreadable(told["unreadable"], **told["values"])
    return Picture("", told["kind"], drawn)


def _drawn(content: bytes, side: int) -> Picture:
    """The first frame on white, as its camera was held."""
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = None  # it is measured here
    kind = _kind(content)
    with Image.open(io.BytesIO(content), formats=[kind] if kind else []) as image:
        if image.width * image.height > PIXELS * 1_000_000:
            raise Unreadable("too_many_pixels", limit=PIXELS)
        image.draft("RGB", (side, side))  # a JPEG is unpacked no larger than it is needed
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
    shallow = _shallow(image)
    shallow.thumbnail((side, side), Image.Resampling.LANCZOS)
    clean = Image.new("RGB", shallow.size, "white")
    clean.paste(shallow, mask=shallow.getchannel("A") if shallow.mode == "RGBA" else None)
    return _encoded(clean, lossless=kind in ("PNG", "GIF"))


def _shallow(image: Any) -> Any:
    """The picture with eight bits a channel, transparent or not."""
    if image.mode.startswith(("I", "F")):  # sixteen bits of grey, as X-rays have
        return image.convert("I").point(lambda grey: grey / 256).convert("L").convert("RGB")
    wanted = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == wanted else image.convert(wanted)


def _encoded(image: Any, *, lossless: bool) -> Picture:
    """As PNG where it was without loss and is light enough so, else as JPEG, smaller until it is light enough."""
    from PIL import Image

    if lossless and len(content := _saved(image, "PNG", optimize=True)) <= BYTES:
        return Picture("", "image/png", content)
    while True:
        for quality in (90, 80):
            if len(content := _saved(image, "JPEG", quality=quality)) <= BYTES:
                return Picture("", "image/jpeg", content)
        image = image.resize([max(1, side * 4 // 5) for side in image.size], Image.Resampling.LANCZOS)


def _saved(image: Any, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def main() -> None:
    """Draw a picture within bounds; of one made by hand the library raises anything at all, which ends it."""
    memory, seconds, side = map(int, sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_AS, (memory * 1_000_000,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds,) * 2)
    drawn = b""
    try:
        picture = _drawn(sys.stdin.buffer.read(), side)
        told: dict[str, object] = {"kind": picture.kind}
        drawn = picture.content
    except Unreadable as problem:
        told = {"unreadable": problem.reason, "values": problem.values}
    sys.stdout.buffer.write(json.dumps(told).encode() + b"\n" + drawn)


if __name__ == "__main__":
    main()
