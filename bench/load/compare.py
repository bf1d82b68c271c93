"""Two results of the gateway benchmark: what got worse.

Figures that depend on the minute's machine, such as plain requests a second, are not judged; the ratios of Praxis to
the other subjects in the same round are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.changes import Change, Rounds, Tolerance
from praxis.errors import ConfigError, Problem


def changes(before: dict[str, Any], after: dict[str, Any], tolerance: Tolerance) -> Sequence[Change]:
    """The figures that both results have. Raises ConfigError when one has none of praxis."""
    if not all("praxis" in each["subjects"] for each in (before, after)):
        reason = "a result has no figures of praxis; nothing can be compared"
        raise ConfigError("bench compare", [Problem(None, "", reason)])
    old = {(load["load"], load["clients"]): load for load in before["loads"]}
    found: list[Change] = []
    for load in after["loads"]:
        key = (load["load"], load["clients"])
        if key in old:
            found += _changes(f"{key[0]}, {key[1]} clients", old[key], load, tolerance.figures)
    if not found:
        return []
    memory = [[float(each["subjects"]["praxis"]["memory_mib"]["highest"])] for each in (before, after)]
    return [*found, Rounds("all", "memory MiB", memory[0], memory[1], False, tolerance.figures)]


def _changes(name: str, old: dict[str, Any], new: dict[str, Any], tolerance: float) -> list[Change]:
    found: list[Change] = []
    for other in old["ratios"]:
        ratios = [_known(side["ratios"].get(other, [])) for side in (old, new)]
        if all(ratios):
            found.append(Rounds(name, f"ratio to {other}", ratios[0], ratios[1], True, tolerance))
    praxis = [side["subjects"]["praxis"] for side in (old, new)]
    cpu = [_known(each["cpu_us"]) for each in praxis]
    if all(cpu):
        found.append(Rounds(name, "CPU µs/request", cpu[0], cpu[1], False, tolerance))
    errors = [[float(sum(each["errors"].values()))] for each in praxis]
    found.append(Rounds(name, "errors", errors[0], errors[1], False, 0.0))
    return found


def _known(rounds: Sequence[float | None]) -> list[float]:
    return [each for each in rounds if each is not None]
