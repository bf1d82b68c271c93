"""Pictures are drawn anew before anybody sees them: upright, small enough, and without what they knew of their owner."""

import pytest
from PIL import Image

from tests.ui.pictures import SIGNATURE, bomb, drawing, opened, photograph, png, saved
from ui import pictures
from ui.pictures import BYTES, SIDE, Picture, Unreadable, read, smaller


def refusal(content: bytes) -> str:
    with pytest.raises(Unreadable) as refused:
        read("图.png", content)
    return refused.value.reason


def test_a_photograph_is_upright_smaller_and_tells_nothing_of_its_owner() -> None:
    content = photograph()
    assert b"CAMERA-OF-SOMEBODY" in content
    picture = read("IMG_1.HEIC.jpg", content)
    assert (picture.name, picture.kind) == ("IMG_1.HEIC.jpg", "image/jpeg")
    assert len(picture.content) <= BYTES
    with opened(picture.content) as seen:
        assert max(seen.size) <= SIDE
        assert abs(seen.width / seen.height - 3 / 4) < 0.01, "it stands upright"
        assert not seen.getexif()
        assert seen.info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert b"SOMEBODY" not in picture.content


@pytest.mark.parametrize(
    ("form", "kind"), [("PNG", "png"), ("GIF", "png"), ("WEBP", "jpeg"), ("JPEG", "jpeg")]
)
def test_each_kind_is_told_by_its_bytes_and_keeps_its_size(form: str, kind: str) -> None:
    picture = read("图.bin", saved(drawing(), form))
    assert picture.kind == f"image/{kind}"
    with opened(picture.content) as seen:
        assert seen.size == (320, 200)
        left, right = (seen.convert("RGB").getpixel(place) for place in ((40, 100), (280, 100)))
    assert max(left[:2]) < 30 < left[2]
    assert min(right) > 240


def test_of_an_animation_the_first_frame_is_seen() -> None:
    frames = [drawing(colour=colour) for colour in ("red", "lime")]
    content = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)
    with opened(read("a.gif", content).content) as seen:
        assert getattr(seen, "n_frames", 1) == 1
        assert seen.convert("RGB").getpixel((40, 100)) == (255, 0, 0)


def test_what_is_transparent_is_white() -> None:
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    for content in (saved(image, "PNG"), saved(image.convert("P"), "GIF", transparency=0)):
        with opened(read("a.png", content).content) as seen:
            assert seen.convert("RGB").getpixel((20, 20)) == (255, 255, 255)


def test_sixteen_bits_of_grey_are_not_blown_out() -> None:
    image = Image.new("I;16", (40, 40), 0x8000)
    with opened(read("x-ray.png", saved(image, "PNG")).content) as seen:
        assert seen.convert("RGB").getpixel((20, 20)) == (128, 128, 128)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\0" * 20_000_001, "too_large"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "heic"),
        (b"%PDF-1.7", "unknown"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unknown"),
        (b"MZ\x90\0", "unknown"),
        (b"BM" + bytes(60), "unknown"),
        (SIGNATURE, "broken"),
        (SIGNATURE + b"<script>", "broken"),
        (png()[:200], "broken"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "broken"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "broken"),
        (b"GIF89a\xff\xff\xff\xff", "broken"),
        (bomb(), "too_many_pixels"),
        (bomb(8_000, 8_000), "broken"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_no_picture_or_means_harm_is_refused(content: bytes, reason: str) -> None:
    assert refusal(content) == reason


@pytest.mark.parametrize(("bound", "value"), [("MEMORY", 20), ("SECONDS", 0)])
def test_a_picture_that_takes_too_much_ends_its_process_alone(
    monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(pictures, bound, value)
    assert refusal(png()) == "broken"


def test_one_that_was_kept_by_others_is_drawn_anew_or_left_out() -> None:
    with opened((smaller(Picture("a", "image/png", png()), 100) or pytest.fail("drawn")).content) as seen:
        assert seen.size == (100, 63)
    assert smaller(Picture("a", "image/png", SIGNATURE), 100) is None
