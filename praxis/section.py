"""What the sections of models.yaml have in common: strictness, kinds of values, and secrets by the environment."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Days = Annotated[float, Field(gt=0, le=36_500)]
Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\s@,][^\s@,]*$")]


def read_secret(name: str) -> str | None:
    """The value of the environment variable `name`, or the content of the file that `name`_FILE points to."""
    if value := os.environ.get(name):
        return value
    if path := os.environ.get(f"{name}_FILE"):
        return Path(path).read_text().strip() or None
    return None


def root_url(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write a URL such as http://127.0.0.1:8000")
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "secrets never stand in this file; leave out what is before the @ (a backend's key is named by `api_key_env`)"
        )
    if parts.path.rstrip("/") == "/v1":
        raise ValueError(f"leave out /v1: write {parts.scheme}://{parts.netloc}")
    return value.rstrip("/")


RootUrl = Annotated[str, BeforeValidator(root_url)]


def _folder_url(value: Any) -> Any:
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or not re.fullmatch(r"[a-z][a-z0-9]*", parts.scheme) or not (parts.netloc or parts.path):
        raise ValueError(
            "write a folder's URL such as s3://bucket/praxis, sftp://host/folder or file:///srv/praxis"
        )
    if parts.scheme in ("http", "https"):
        raise ValueError("files cannot be written by HTTP; write a folder's URL such as s3://bucket/praxis")
    if parts.password is not None or parts.query:
        raise ValueError(
            "secrets never stand in this file; give them by environment, such as `FSSPEC_SFTP_PASSWORD`"
        )
    return value.rstrip("/")


FolderUrl = Annotated[str, BeforeValidator(_folder_url)]
"""A folder in some file system, by fsspec's URLs."""

STRICT = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
"""How each section is read: no unknown keys, no changes after reading."""
