"""A backup as a file: one tar of plain members, the last of which is a manifest with the SHA-256 of all others."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from praxis.errors import PraxisError

STATE = "state.db"
FILES = "files"
FORM = 1
"""Of the archive; one that is newer is refused."""

_MANIFEST = "manifest.json"
_MAX_MANIFEST = 256 << 20
_CHUNK = 1 << 20
_MEMBER = re.compile(rf"{re.escape(STATE)}|{FILES}(/[A-Za-z0-9_][A-Za-z0-9._-]*)+")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive holds: per member its size and SHA-256, and where it comes from."""

    files: Mapping[str, Mapping[str, Any]]
    made_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    praxis: str = field(default_factory=lambda: version("praxis"))
    form: int = FORM


def write(target: Path, members: Iterable[tuple[str, Path]]) -> Manifest:
    """Write an archive of `members` (name and file) to `target`, which appears only when it is whole.

    Only its owner may read it: it holds what people uploaded.
    """
    partial = target.with_name(target.name + ".partial")
    held: dict[str, dict[str, Any]] = {}
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for name, file in members:
                    held[name] = _add(tar, name, file)
                manifest = Manifest(held)
                text = json.dumps(_fields(manifest), indent=1).encode()
                tar.addfile(_header(_MANIFEST, len(text), time.time()), io.BytesIO(text))
            out.flush()
            os.fsync(out.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return manifest


def unpack(source: Path, folder: Path) -> Manifest:
    """Write the members of the archive `source` below `folder` and check every one. Raises PraxisError.

    Nothing of what an archive says about its members is believed: names that lead out of the folder, links, members
    that the manifest does not list or lists otherwise, and an archive without its end are all refused.
    """
    found: dict[str, dict[str, Any]] = {}
    text = b""
    try:
        with tarfile.open(source, mode="r:") as tar:
            for member in tar:
                if text or not member.isreg() or member.issparse() or member.name in found:
                    raise refused(source, f"the member `{member.name}` does not belong there")
                content = tar.extractfile(member)
                assert content is not None
                if member.name == _MANIFEST:
                    text = content.read(_MAX_MANIFEST)
                elif _MEMBER.fullmatch(member.name):
                    found[member.name] = _extract(content, folder / member.name)
                else:
                    raise refused(source, f"the member `{member.name}` does not belong there")
    except (tarfile.TarError, EOFError) as error:
        raise refused(source, f"it is damaged or no archive ({error})") from None
    manifest = _read(source, text)
    for name in sorted(set(found) ^ set(manifest.files)):
        raise refused(source, f"`{name}` is {'not in its manifest' if name in found else 'missing'}")
    for name, facts in found.items():
        if facts != manifest.files[name]:
            raise refused(source, f"`{name}` is not what it was when the backup was made")
    if STATE not in found:
        raise refused(source, f"`{STATE}` is missing")
    return manifest


def _add(tar: tarfile.TarFile, name: str, file: Path) -> dict[str, Any]:
    with file.open("rb") as content:
        status = os.fstat(content.fileno())
        hashing = _Hashing(content)
        tar.addfile(_header(name, status.st_size, status.st_mtime), hashing)
        return {"bytes": status.st_size, "sha256": hashing.digest.hexdigest()}


class _Hashing:
    """Reads a file and hashes what it reads."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content
        self.digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        chunk = self._content.read(size)
        self.digest.update(chunk)
        return chunk


def _header(name: str, size: int, modified: float) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mtime, header.mode = size, int(modified), 0o600
    return header


def _extract(content: IO[bytes], target: Path) -> dict[str, Any]:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as out:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    return {"bytes": size, "sha256": digest.hexdigest()}


def _fields(manifest: Manifest) -> dict[str, Any]:
    return {name: getattr(manifest, name) for name in ("form", "praxis", "made_at", "files")}


def _read(source: Path, text: bytes) -> Manifest:
    if not text:
        raise refused(source, "its end is missing; the backup was cut short")
    try:
        manifest = Manifest(**json.loads(text))
        files = {name: dict(facts) for name, facts in manifest.files.items()}
    except (ValueError, TypeError, AttributeError):
        raise refused(source, "its manifest cannot be read") from None
    if manifest.form != FORM:
        raise refused(source, f"it is of form {manifest.form} and this Praxis knows {FORM}")
    return Manifest(files, manifest.made_at, manifest.praxis, manifest.form)


def refused(source: Path, why: str) -> PraxisError:
    return PraxisError(f"`{source}` is not restored: {why}. Nothing was changed.")
