"""A result of the speed benchmark for people: the table, and what they must know before believing it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.load.figures import middle

_COLUMNS = {
    "requests/s": "request_throughput",
    "tokens/s": "output_throughput",
    "goodput/s": "request_goodput",
    "TTFT p50": "p50_ttft_ms",
    "TTFT p99": "p99_ttft_ms",
    "first text p50": "p50_first_visible_ms",
    "TPOT p50": "p50_tpot_ms",
    "ITL p99": "p99_itl_ms",
    "E2E p50": "p50_e2el_ms",
    "E2E p99": "p99_e2el_ms",
    "E2E p99, failures ∞": "adj_p99_e2el_ms",
}


def table(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A line for each target and load: medians over the rounds, times in ms."""
    rows = []
    for run in result["runs"]:
        rounds = run["rounds"]
        saturated = any(each["client"]["saturated"] for each in rounds)
        row = {"target": run["model_id"], "load": run["load"] + (" (client saturated)" if saturated else "")}
        row |= {title: _middle(rounds, key) for title, key in _COLUMNS.items()}
        sent = sum(each["num_prompts"] for each in rounds)
        row |= {"requests": sent, "errors": sum(each["failed"] for each in rounds)}
        rows.append(row | {"client CPU": f"{max(each['client']['cpu'] for each in rounds):.0%}"})
    return rows


def notes(result: Mapping[str, Any]) -> Iterator[str]:
    """What a reader must know."""
    for run in result["runs"]:
        name = f"{run['model_id']}, {run['load']}"
        why = [each["client"]["why"] for each in run["rounds"] if each["client"]["saturated"]]
        if why:
            yield (
                f"{name}: the client was the bottleneck ({why[0]}), so these figures are the client's and not the server's. "
                "Lower the load, or run the client on a machine of its own."
            )
        kinds: dict[str, int] = {}
        for each in run["rounds"]:
            for kind, count in each["errors_by_type"].items():
                kinds[kind] = kinds.get(kind, 0) + count
        if kinds:
            listed = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
            yield f"{name}: requests failed ({listed}); percentiles are of those that succeeded, but for those with ∞."
        if any(each["estimated_tokens"] for each in run["rounds"]):
            yield f"{name}: the server counts no tokens; chunks were counted instead, so tokens/s and TPOT are estimates."


def _middle(rounds: list[dict[str, Any]], key: str) -> Any:
    values = [each.get(key) for each in rounds]
    if any(value == "inf" for value in values):
        return "∞"
    return middle(values)
