"""Which of several workers a gateway process is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """Which worker a process is, of how many, and the folder in which the workers find each other."""

    index: int
    count: int
    folder: Path

    @property
    def process(self) -> str:
        """What its logs call it."""
        return f"gateway-{self.index}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read what `str` wrote."""
        index, count, folder = text.split("/", 2)
        return cls(int(index), int(count), Path(folder))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}/{self.folder}"

    def door(self, index: int) -> Path:
        """The Unix socket of the worker `index`; there is one as soon as that worker serves."""
        return self.folder / str(index)

    def share(self, whole: int) -> int:
        """This worker's part of what is configured for all; of something it is at least 1."""
        return whole and max(1, whole // self.count + (self.index < whole % self.count))
