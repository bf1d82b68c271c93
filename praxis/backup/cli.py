"""`praxis backup` and `praxis restore`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from praxis.config import load
from praxis.errors import PraxisError

ConfigOption = Annotated[Path, typer.Option("--config", help="The operator's file.")]


def backup(
    file: Annotated[
        Path, typer.Argument(help="Where to write it, such as praxis.tar; replaced if it is there.")
    ],
    config: ConfigOption = Path("models.yaml"),
) -> None:
    """Write state and uploaded files to FILE, while everything serves.

    Indexes are left out: they are made again from the state. So are models.yaml, adapters, models and secrets, which
    are the operator's own files.
    """
    from praxis.backup.take import back_up
    from praxis.kept import everything

    kept = everything()
    with _disk(file):
        manifest = back_up(load(config), file, kept)
    size = sum(each["bytes"] for each in manifest.files.values())
    typer.echo(f"{file}: the state and {len(manifest.files) - 1} files, {size / 1e6:.1f} MB.")
    typer.echo(f"Left out, for they are made again: {', '.join(kept.caches)}.", err=True)


def restore(
    file: Annotated[Path, typer.Argument(help="What `praxis backup` wrote.")],
    force: Annotated[bool, typer.Option("--force", help="Replace what is there, for good.")] = False,
    config: ConfigOption = Path("models.yaml"),
) -> None:
    """Put state and uploaded files back from FILE: whole, or not at all. Nothing of Praxis may be running.

    Keys are those of the backup: what was made since is gone, and what was revoked since works again.
    """
    from praxis.backup.restore import restore as put_back
    from praxis.kept import everything

    with _disk(file):
        manifest = put_back(load(config), file, everything(), force=force)
    typer.echo(f"Restored the state and {len(manifest.files) - 1} files of {manifest.made_at}.")
    typer.echo("Look at `praxis keys list`: keys that were revoked since then work again.", err=True)


@contextmanager
def _disk(file: Path) -> Iterator[None]:
    """Say what the disk refuses in one line."""
    try:
        yield
    except OSError as error:
        raise PraxisError(f"`{error.filename or file}`: {error.strerror or error}.") from error
