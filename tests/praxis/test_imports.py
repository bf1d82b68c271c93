"""Arrows point one way: rooms know the kernel and never each other; the kernel knows no room."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("gateway", "rag", "ui", "bench")
MODULES = [path for room in ("praxis", *ROOMS) for path in sorted((ROOT / room).rglob("*.py"))]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a module imports, wherever in it."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            name = ".".join(part for part in (base, node.module or "") if part)
            yield from ((node.lineno, f"{name}.{alias.name}") for alias in node.names)


def forbidden(room: str, name: str) -> str | None:
    """Why a module of `room` may not import `name`, or None."""
    top = name.partition(".")[0]
    if top in ROOMS and top != room:
        return f"{room} never imports {top}: rooms talk over HTTP"
    if top == "tests":
        return "tests are no part of the product"
    if room == "ui" and top == "praxis" and not name.startswith(("praxis.i18n", "praxis.judging")):
        return "ui imports nothing of the kernel but praxis.i18n and praxis.judging"
    if top == "llama_index" and room != "rag":
        return "LlamaIndex lives in rag and only there"
    if top == "streamlit" and room != "ui":
        return "Streamlit lives in ui and only there"
    return None


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    found = [(line, name, forbidden(room, name)) for line, name in imports(path)]
    assert [f"{path.relative_to(ROOT)}:{line} {name}: {why}" for line, name, why in found if why] == []


def test_every_room_is_looked_at() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == {"praxis", *ROOMS}
