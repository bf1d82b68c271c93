"""The documentation names every command, every key of models.yaml and every path; the lists come from the code."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
import typer
from pydantic import BaseModel

from gateway.api.inference import PATHS
from praxis.cli import build
from praxis.config import Config
from tests.gateway.asking import house
from tests.processes import ROOT, Gateway

NOT_IN_THE_FILE = {"path", "home"}
"""Fields that `Config` works out for itself."""


@pytest.fixture(scope="module")
def documentation() -> str:
    """All that people read."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


def commands(command: Any, name: str) -> Iterator[str]:
    """The full names of a command's leaves; a group has `commands`."""
    below = getattr(command, "commands", None)
    if below is None:
        yield name
    for each, inner in (below or {}).items():
        yield from commands(inner, f"{name} {each}")


def sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a field's type: itself, or inside `dict[…]`, `list[…]`, `X | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from sections(inner)


def keys(model: type[BaseModel]) -> Iterator[str]:
    """Every key below a model, each by its own name."""
    for name, field in model.model_fields.items():
        if model is not Config or name not in NOT_IN_THE_FILE:
            yield name
            for section in sections(field.annotation):
                yield from keys(section)


@pytest.mark.parametrize("command", sorted(set(commands(typer.main.get_command(build()), "praxis"))))
def test_every_command_is_documented(documentation: str, command: str) -> None:
    assert re.search(rf"\b{command}\b", documentation), f"write about `{command}` in docs/ or README.md"


@pytest.mark.parametrize("key", sorted(set(keys(Config))))
def test_every_key_of_models_yaml_is_documented(documentation: str, key: str) -> None:
    named = rf"`[\w.*]*\b{key}\b`|\b{key}:"
    assert re.search(named, documentation), f"write about models.yaml's `{key}` in docs/ or README.md"


def test_every_metric_is_documented(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "reference" / "seeing.md").read_text(encoding="utf-8")
    with Gateway(tmp_path, house("http://127.0.0.1:9"), "--workers", "2") as running:
        told = httpx.get(f"{running.url}/metrics", timeout=60).text
    families = {line.split()[2] for line in told.splitlines() if line.startswith("# TYPE ")}
    assert "praxis_requests_total" in families
    assert [each for each in sorted(families) if f"`{each}`" not in page] == [], "write about these metrics"


def test_every_path_is_documented(documentation: str, tmp_path: Path) -> None:
    with Gateway(tmp_path, house("http://127.0.0.1:9")) as running:
        served = set(httpx.get(f"{running.url}/openapi.json", timeout=60).json()["paths"]) | PATHS
    missing = []
    for path in sorted(served):
        pattern = r"\{[^}]+\}".join(re.escape(part) for part in re.split(r"\{[^}]+\}", path))
        if not re.search(pattern, documentation):
            missing.append(path)
    assert missing == [], "write about these paths in docs/ or README.md"
