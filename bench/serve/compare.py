"""Two results of the speed benchmark: what got worse for the same target under the same load."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bench.changes import Change, Rounds, Tolerance

_TIMES = ("median_ttft_ms", "p99_ttft_ms", "median_tpot_ms", "median_e2el_ms", "p99_e2el_ms")
_RATES = ("output_throughput", "request_goodput")


def changes(before: dict[str, Any], after: dict[str, Any], tolerance: Tolerance) -> Sequence[Change]:
    """Times and rates within `tolerance.times`; any greater share of errors is worse."""
    old = {(run["model_id"], run["load"]): run["rounds"] for run in before["runs"]}
    found: list[Change] = []
    for run in after["runs"]:
        rounds = old.get((run["model_id"], run["load"]))
        if rounds is None:
            continue
        name = f"{run['model_id']}, {run['load']}"
        for figures, higher in ((_RATES, True), (_TIMES, False)):
            for figure in figures:
                pair = _known(rounds, figure), _known(run["rounds"], figure)
                if all(pair):
                    found.append(Rounds(name, figure, *pair, higher, tolerance.times))
        errors = [each["error_rate"] for each in rounds], [each["error_rate"] for each in run["rounds"]]
        found.append(Rounds(name, "error_rate", *errors, False, 0.0))
    return found


def _known(rounds: Sequence[Mapping[str, Any]], figure: str) -> list[float]:
    values = [each.get(figure) for each in rounds]
    return [float(each) for each in values if isinstance(each, int | float) and math.isfinite(each)]
