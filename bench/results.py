"""Results on disk: what cannot be written is said before anything is measured, not after."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from praxis.errors import PraxisError
from praxis.tables import Format, render


def runs_folder() -> Path:
    """Where runs are kept."""
    return Path(os.environ.get("PRAXIS_HOME") or ".praxis") / "runs"


def writable(option: str, file: Path | None) -> None:
    """Raises BadParameter where the folder of `file` is missing."""
    if file is not None and not file.absolute().parent.is_dir():
        raise typer.BadParameter(f"`{option} {file}`: there is no folder `{file.parent}`; make it first.")


def publish(
    result: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], form: Format, file: Path | None
) -> None:
    """Print a result, as its table's `rows` or whole as JSON, and write it to the `--json` file where there is one.

    It is printed first: what was measured is not lost where a disk is full. Raises PraxisError as `write_result`.
    """
    if form is Format.json:
        typer.echo(json.dumps(result, ensure_ascii=False, indent=1))
    else:
        typer.echo(render(rows, form))
    write_result("--json", file, result)


def write_result(option: str, file: Path | None, content: Mapping[str, Any] | str) -> None:
    """Write a text, or an object as JSON, where there is a `file`. Raises PraxisError where the disk does not take it."""
    if file is None:
        return
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise PraxisError(f"`{option} {file}` cannot be written: {error.strerror}.") from None
