"""Pictures as people have them, and as somebody means harm with."""

import io
import random
import struct
import zlib

from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def drawing(width: int = 320, height: int = 200, colour: str = "navy") -> Image.Image:
    """The left half in a colour, the right half white."""
    image = Image.new("RGB", (width, height), "white")
    image.paste(colour, (0, 0, width // 2, height))
    return image


def png(**size: int) -> bytes:
    return saved(drawing(**size), "PNG")


def photograph(width: int = 4000, height: int = 3000) -> bytes:
    """Taken with the camera on its side, at a place and time that it names; it packs badly, as grain does."""
    grain = Image.frombytes(
        "RGB", (width // 4, height // 4), random.Random(7).randbytes(width * height * 3 // 16)
    )
    facts = Image.Exif()
    facts[0x0112] = 6  # to be turned to the right
    facts[0x010F] = "CAMERA-OF-SOMEBODY"
    facts[0x8825] = {1: "N", 2: (39.0, 54.0, 15.0), 3: "E", 4: (116.0, 23.0, 29.0)}
    return saved(
        grain.resize((width, height)), "JPEG", quality=95, exif=facts, comment=b"COMMENT-OF-SOMEBODY"
    )


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A few bytes that would be gigabytes."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1_000_000, 9)
    return SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))
