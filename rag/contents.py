"""The bytes of uploaded files: each lies under its file's id in one folder of any file system that fsspec knows.

A folder on this machine is used as it is. What lies elsewhere is fetched whole when it is needed, compared with what
was uploaded, and not kept here, so that nothing outlives its file.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import fsspec
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from praxis.errors import ConfigError, InternalError, Overloaded, Problem

logger = logging.getLogger("praxis.rag")

_CHUNK = 1 << 20
_RETRY_SECONDS = 2.0


class FilesAway(Overloaded):
    """Where the bytes of files lie does not answer; whoever needs them asks again."""


class Contents:
    """The bytes of files in the folder `url`, or where it is None in `home`. Methods block and may be called from several
    threads.

    Raises ConfigError where nothing here speaks the URL's protocol.
    """

    def __init__(self, url: str | None, home: Path) -> None:
        self.url = url or f"file://{home}"
        path = Path(self.url.removeprefix("file://")) if self.url.startswith("file://") else None
        self.folder = path
        """The folder, where it is on this machine."""
        if path is None:
            _known(self.url)
        # Drafts lie beside what they become, so that a rename is all that is left.
        self._desk = path or home
        self._desk.mkdir(parents=True, exist_ok=True)
        self._made = False

    def tidy(self) -> None:
        """Clear away drafts and copies that a process that was killed has left; only for the start of the one that serves."""
        for left in self._desk.glob(".file-*"):
            left.unlink(missing_ok=True)

    def draft(self, file_id: str) -> Path:
        """Where the bytes of a file are written before they are put; cleared away by `tidy`."""
        return self._desk / f".{file_id}"

    def put(self, file_id: str, draft: Path) -> None:
        """Have the bytes of `draft` under `file_id`. Raises FilesAway; then any part of them may be there."""
        if self.folder is not None:
            draft.rename(self.folder / file_id)
            return
        with self._asked(file_id, reading=False) as (system, path):
            if not self._made:
                system.makedirs(path.rpartition("/")[0], exist_ok=True)
                self._made = True
            system.put_file(str(draft), path)
            system.invalidate_cache()
            if (size := system.info(path)["size"]) != draft.stat().st_size:
                raise OSError(f"it has {size} bytes of {draft.stat().st_size}")

    def fetch(self, file_id: str, sha256: str) -> Path:
        """A file on this machine with the bytes of `file_id`, until `release` takes it back.

        Raises FileNotFoundError, FilesAway, and InternalError where they are not what was uploaded.
        """
        if self.folder is not None:
            here = self.folder / file_id
            here.stat()
            return here
        copy = self.draft(f"{file_id}-{uuid.uuid4().hex}")
        try:
            with self._asked(file_id) as (system, path):
                system.info(path)
                system.get_file(path, str(copy))
            if digest(copy) != sha256:
                raise InternalError(
                    f"What lies under `{file_id}` in `{self.url}` is not what was uploaded; restore it there."
                )
        except BaseException:
            copy.unlink(missing_ok=True)
            raise
        return copy

    def release(self, fetched: Path) -> None:
        """Give back what `fetch` gave."""
        if self.folder is None:
            fetched.unlink(missing_ok=True)

    def remove(self, file_id: str) -> None:
        """Have nothing under `file_id`, whatever was there. Raises FilesAway."""
        if self.folder is not None:
            (self.folder / file_id).unlink(missing_ok=True)
            return
        try:
            with self._asked(file_id) as (system, path):
                system.info(path)
                system.rm_file(path)
        except FileNotFoundError:
            return

    @contextmanager
    def _asked(self, file_id: str, *, reading: bool = True) -> Iterator[tuple[AbstractFileSystem, str]]:
        """The file system, and where the file lies in it. That it is not there is told only to who is `reading`; all
        else that is wrong is FilesAway."""
        try:
            system, folder = url_to_fs(self.url)
            system.invalidate_cache()
            yield system, f"{folder.rstrip('/')}/{file_id}"
        except Exception as error:  # each protocol has errors of its own
            if reading and isinstance(error, FileNotFoundError):
                raise
            self._made = False
            logger.warning("files are away", extra={"reason": f"{type(error).__name__}: {error}"})
            raise FilesAway(
                "The place where uploaded files lie cannot be reached now; ask again in a moment.",
                code="files_away",
                retry_after=_RETRY_SECONDS,
            ) from error


def digest(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _known(url: str) -> None:
    protocol = urlsplit(url).scheme
    try:
        fsspec.get_filesystem_class(protocol)
    except (ImportError, ValueError) as error:
        fix = f"nothing here speaks `{protocol}` ({error}); install it where rag runs"
        raise ConfigError("environment", [Problem(None, "rag.files", fix)]) from None
