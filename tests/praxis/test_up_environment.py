"""Environments from pinned requirements: made once, again when the pins change, and honest when pip fails."""

import subprocess
from pathlib import Path

import pytest

from praxis.errors import PraxisError
from praxis.up.environment import Environment
from tests.fakes.package_index import make_wheel


class Said:
    """Keeps what a step reports."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, text: str, fraction: float | None = None) -> None:
        self.texts.append(text)


@pytest.fixture
def requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two toy packages, of which the first file pins one and the second, which includes it, the other."""
    wheels = tmp_path / "wheels"
    make_wheel(wheels, "toy-one", "1.0", {"toy_one.py": b"number = 1\n"})
    make_wheel(wheels, "toy-one", "2.0", {"toy_one.py": b"number = 2\n"})
    make_wheel(wheels, "toy-two", "1.0", {"toy_two.py": b""})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    (tmp_path / "base.txt").write_text("toy-one==1.0\n")
    (tmp_path / "more.txt").write_text("-r base.txt\ntoy-two==1.0\n")
    return tmp_path / "base.txt"


def number(made: Environment) -> str:
    """What the installed toy says."""
    command = [str(made.python), "-c", "import toy_one; print(toy_one.number)"]
    return subprocess.check_output(command, text=True).strip()


def test_an_environment_is_made_once_and_again_when_its_pins_change(
    requirements: Path, tmp_path: Path
) -> None:
    base = Environment(tmp_path / "env", requirements, tmp_path / "logs" / "pip.log")
    more = Environment(tmp_path / "env", tmp_path / "more.txt", tmp_path / "logs" / "pip.log")
    assert not base.ready()
    said = Said()
    base.make(said)
    assert base.ready()
    assert number(base) == "1"
    assert any("1 of 1 packages" in text for text in said.texts)

    assert not more.ready()
    more.make(Said())
    assert more.ready()
    assert base.ready(), "what includes the pins satisfies them too"

    requirements.write_text("toy-one==2.0\n")
    assert not base.ready()
    assert not more.ready()
    base.make(Said())
    assert number(base) == "2"


def test_an_installation_that_does_not_finish_is_not_taken_for_one(
    requirements: Path, tmp_path: Path
) -> None:
    made = Environment(tmp_path / "env", requirements, tmp_path / "pip.log")

    def interrupt(_: Environment) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made.make(Said(), finish=interrupt)
    assert not made.ready()
    made.make(Said())
    assert made.ready()


def test_pips_reason_is_told_with_its_log(requirements: Path, tmp_path: Path) -> None:
    requirements.write_text("absent-package==9.9\n")
    made = Environment(tmp_path / "env", requirements, tmp_path / "pip.log")
    with pytest.raises(PraxisError, match=r"absent-package==9.9.*pip\.log"):
        made.make(Said())
    assert not made.ready()
