"""Two results of the retrieval benchmark, paired by question: what got worse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bench.changes import Change, Pairs, Rounds, Tolerance


def changes(before: dict[str, Any], after: dict[str, Any], tolerance: Tolerance) -> Sequence[Change]:
    """The metrics, the time of a search and the failures, over the questions that both asked with the same gold."""
    old, new = ({each["id"]: each for each in side["rows"]} for side in (before, after))
    shared = [
        name
        for name, row in old.items()
        if name in new and (row["query"], row["gold"]) == (new[name]["query"], new[name]["gold"])
    ]
    answered = [name for name in shared if old[name]["error"] is None and new[name]["error"] is None]
    if not answered:
        return []
    load = f"{len(answered)} questions"
    metrics = [name for name in old[answered[0]]["metrics"] if name in new[answered[0]]["metrics"]]
    found: list[Change] = [
        Pairs(
            load,
            metric,
            [old[name]["metrics"][metric] for name in answered],
            [new[name]["metrics"][metric] for name in answered],
            True,
            tolerance.figures,
        )
        for metric in metrics
    ]
    # Of logarithms, a difference is a ratio: a few slow searches do not outweigh all others.
    times = [[math.log10(1000 * side[name]["seconds"]) for name in answered] for side in (old, new)]
    found.append(_Time(load, "log10 ms", times[0], times[1], False, math.log10(1 + tolerance.times)))
    failed = [[float(sum(side[name]["error"] is not None for name in shared))] for side in (old, new)]
    return [*found, Rounds(load, "errors", failed[0], failed[1], False, 0.0)]


class _Time(Pairs):
    """Times as logarithms; the tolerance is a difference of them, not a share."""

    @property
    def worse(self) -> bool:
        return self.difference.low > self.tolerance
