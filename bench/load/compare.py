"""Two results of one benchmark: what got worse beyond noise.

A figure is worse when its median is worse by more than the tolerance and no round of the new result is as good
as the worst round of the old one. Figures that depend on the minute's machine, such as plain requests a
second, are not judged; the ratios of Praxis to the other subjects in the same round are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from praxis.errors import ConfigError, Problem


@dataclass(frozen=True, slots=True)
class Change:
    """One figure in both results, as its rounds."""

    load: str
    figure: str
    before: Sequence[float]
    after: Sequence[float]
    higher_is_better: bool
    tolerance: float

    @property
    def worse(self) -> bool:
        old, new = median(self.before), median(self.after)
        if self.higher_is_better:
            return new < old * (1 - self.tolerance) and max(self.after) < min(self.before)
        return new > old * (1 + self.tolerance) and min(self.after) > max(self.before)

    def row(self) -> dict[str, Any]:
        """The change as a row of a table."""
        old, new = median(self.before), median(self.after)
        return {
            "load": self.load,
            "figure": self.figure,
            "before": old,
            "after": new,
            "change": f"{new / old - 1:+.1%}" if old else "–",
            "verdict": "worse" if self.worse else "",
        }


def read(path: Path) -> dict[str, Any]:
    """A result that `praxis bench … --json` wrote. Raises ConfigError when it is none."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(str(path), [Problem(None, "", f"it cannot be read: {error}")]) from None
    if (
        not isinstance(value, dict)
        or value.get("kind") != "gateway"
        or not isinstance(value.get("subjects"), dict)
    ):
        raise ConfigError(str(path), [Problem(None, "", "it is no result of `praxis bench gateway --json`")])
    if "praxis" not in value["subjects"]:
        raise ConfigError(
            str(path), [Problem(None, "", "it has no figures of praxis; nothing can be compared")]
        )
    return value


def compare(before: dict[str, Any], after: dict[str, Any], *, tolerance: float) -> list[Change]:
    """The figures that both results have. Raises ConfigError when they have no load in common."""
    old = {(load["load"], load["clients"]): load for load in before["loads"]}
    changes: list[Change] = []
    for load in after["loads"]:
        key = (load["load"], load["clients"])
        if key in old:
            changes += _changes(f"{key[0]}, {key[1]} clients", old[key], load, tolerance)
    if not changes:
        raise ConfigError("bench compare", [Problem(None, "", "the results have no load in common")])
    memory = [[float(each["subjects"]["praxis"]["memory_mib"]["highest"])] for each in (before, after)]
    return [*changes, Change("all", "memory MiB", memory[0], memory[1], False, tolerance)]


def _changes(name: str, old: dict[str, Any], new: dict[str, Any], tolerance: float) -> list[Change]:
    found = []
    for other in old["ratios"]:
        ratios = [_known(side["ratios"].get(other, [])) for side in (old, new)]
        if all(ratios):
            found.append(Change(name, f"ratio to {other}", ratios[0], ratios[1], True, tolerance))
    praxis = [side["subjects"]["praxis"] for side in (old, new)]
    cpu = [_known(each["cpu_us"]) for each in praxis]
    if all(cpu):
        found.append(Change(name, "CPU µs/request", cpu[0], cpu[1], False, tolerance))
    errors = [[float(sum(each["errors"].values()))] for each in praxis]
    found.append(Change(name, "errors", errors[0], errors[1], False, 0.0))
    return found


def _known(rounds: Sequence[float | None]) -> list[float]:
    return [each for each in rounds if each is not None]
