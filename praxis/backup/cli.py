"""`praxis backup` and `praxis restore`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from praxis.config import Config, load
from praxis.errors import PraxisError

if TYPE_CHECKING:
    from praxis.kept import Kept

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

    kept, loaded = everything(), load(config)
    with _disk(file):
        manifest = back_up(loaded, file, kept.at_home(loaded))
    size = sum(each["bytes"] for each in manifest.files.values())
    typer.echo(f"{file}: the state and {len(manifest.files) - 1} files, {size / 1e6:.1f} MB.")
    typer.echo(f"Left out, for they are made again: {', '.join(kept.caches)}.", err=True)
    for url in _elsewhere(kept, loaded):
        typer.echo(f"Not in it: the uploaded files in `{url}`; see that they are kept there.", err=True)


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

    kept, loaded = everything(), load(config)
    with _disk(file):
        manifest = put_back(loaded, file, kept.at_home(loaded), force=force)
    typer.echo(f"Restored the state and {len(manifest.files) - 1} files of {manifest.made_at}.")
    for url in _elsewhere(kept, loaded):
        typer.echo(f"The uploaded files are those in `{url}`, as they are now.", err=True)
    typer.echo("Look at `praxis keys list`: keys that were revoked since then work again.", err=True)


def _elsewhere(kept: Kept, config: Config) -> list[str]:
    return [url for each in kept.folders if (url := each.elsewhere(config)) is not None]


@contextmanager
def _disk(file: Path) -> Iterator[None]:
    """Say what the disk refuses in one line."""
    try:
        yield
    except OSError as error:
        raise PraxisError(f"`{error.filename or file}`: {error.strerror or error}.") from error
