"""Where a backup is put together and a restore taken apart: in the home, so that files can be linked and renamed."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from praxis.errors import PraxisError


@contextmanager
def staging(home: Path, what: str) -> Iterator[Path]:
    """An empty folder, gone afterwards; one at a time, so that what a killed run has left is cleared by the next."""
    home.mkdir(parents=True, exist_ok=True)
    folder = home / ".staging"
    with (home / ".staging.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PraxisError(
                f"Another backup or restore is at work in `{home}`; {what} again when it is done."
            ) from None
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
