"""A font with Chinese that may be put into a PDF, as this machine has one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDERS = (
    Path("/usr/share/fonts"),
    Path("/usr/local/share/fonts"),
    Path.home() / ".local/share/fonts",
    Path("/Library/Fonts"),
    Path("/System/Library/Fonts"),
    Path("C:/Windows/Fonts"),
)
# By name: the face of a collection that has the forms of mainland China.
FACES = {
    "NotoSansCJK-Regular.ttc": 2,
    "NotoSansCJKsc-Regular.otf": 0,
    "NotoSansSC-Regular.otf": 0,
    "NotoSansSC-Regular.ttf": 0,
    "SourceHanSansSC-Regular.otf": 0,
    "SourceHanSansCN-Regular.otf": 0,
    "wqy-microhei.ttc": 0,
    "wqy-zenhei.ttc": 0,
    "msyh.ttc": 0,
    "Arial Unicode.ttf": 0,
}


@dataclass(frozen=True, slots=True)
class Font:
    """A font's file, and its place in there where that is a collection."""

    file: Path
    number: int = 0


def find(folders: Sequence[Path] = FOLDERS) -> Font | None:
    """The first of `FACES` that there is, or None."""
    found: dict[str, Path] = {}
    for folder in folders:
        for where, _, files in os.walk(folder):
            for name in FACES.keys() & set(files):
                found.setdefault(name, Path(where) / name)
    return next((Font(found[name], number) for name, number in FACES.items() if name in found), None)
