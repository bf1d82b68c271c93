"""What a run of requests says, under the names of vLLM's `bench serve`; times in milliseconds, rates a second.

Beside each percentile of the requests that succeeded stands `adj_…`, in which each failed request took for ever: a
server that drops its slowest tenth must not look faster for it. `…_from_due` counts from the moment at which a request
was to leave, client queue included; the names without it count from the moment at which it left, as vLLM's do.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.serve.stream import Outcome

SLOS = ("ttft", "tpot", "e2el")
"""What a service level objective can bound."""

_LAG = 0.1
"""Seconds by which requests may leave late (99th percentile) before the client counts as the bottleneck."""

_BUSY = 0.9
"""Share of its core from which on the client counts as the bottleneck."""


def figures(
    outcomes: Sequence[Outcome],
    *,
    began: float,
    duration: float,
    cpu: float,
    percentiles: Sequence[float],
    slos: Mapping[str, float],
    capped: bool,
) -> dict[str, Any]:
    """One run. `cpu` is what the client used of a core (seconds), `slos` are in ms.

    `capped`: requests may wait at the client for one of few places, so leaving late is no fault of the client.
    """
    whole = [each for each in outcomes if each.error is None]
    failed = len(outcomes) - len(whole)
    inputs, outputs = sum(each.input_tokens for each in whole), sum(each.output_tokens for each in whole)
    good = sum(_good(each, slos) for each in whole) if slos else None
    return {
        "num_prompts": len(outcomes),
        "duration": duration,
        "completed": len(whole),
        "failed": failed,
        "error_rate": failed / len(outcomes),
        "errors_by_type": dict(sorted(Counter(each.error for each in outcomes if each.error).items())),
        "total_input_tokens": inputs,
        "total_output_tokens": outputs,
        "estimated_tokens": any(each.estimated for each in whole),
        "request_throughput": len(whole) / duration,
        "request_goodput": None if good is None else good / duration,
        "slo_attainment": None if good is None else good / len(outcomes),
        "output_throughput": outputs / duration,
        "total_token_throughput": (inputs + outputs) / duration,
        "max_output_tokens_per_s": _busiest_second(whole, began),
        "max_concurrent_requests": _most_at_once(outcomes),
        **_times(whole, failed, percentiles),
        "client": _client(outcomes, duration, cpu, capped),
        "start_times": [each.sent - began for each in outcomes],
        "queue_times": [each.sent - each.due for each in outcomes],
        "input_lens": [each.input_tokens for each in outcomes],
        "output_lens": [each.output_tokens for each in outcomes],
        "ttfts": [_seconds(each, each.first_token) for each in outcomes],
        "latencies": [_seconds(each, each.last_token) for each in outcomes],
        "errors": [each.error and f"{each.error}: {each.message}" for each in outcomes],
    }


def tpot(outcome: Outcome) -> float | None:
    """Seconds for each token after the first; None of an answer of one token."""
    if outcome.output_tokens < 2 or outcome.first_token is None or outcome.last_token is None:
        return None
    return (outcome.last_token - outcome.first_token) / (outcome.output_tokens - 1)


def _times(whole: Sequence[Outcome], failed: int, percentiles: Sequence[float]) -> dict[str, Any]:
    series: dict[str, list[float]] = {
        "ttft": [_since(each, each.first_token) for each in whole],
        "tpot": [each for each in map(tpot, whole) if each is not None],
        "itl": [gap for each in whole for gap in each.gaps],
        "e2el": [_since(each, each.last_token) for each in whole],
        "first_chunk": [_since(each, each.first_chunk) for each in whole],
        "first_visible": [
            _since(each, each.first_visible) for each in whole if each.first_visible is not None
        ],
        "ttft_from_due": [each.sent - each.due + _since(each, each.first_token) for each in whole],
        "e2el_including_client_queue": [
            each.sent - each.due + _since(each, each.last_token) for each in whole
        ],
        "client_queue_time": [each.sent - each.due for each in whole],
    }
    found: dict[str, Any] = {}
    for name, seconds in series.items():
        found |= _distribution(name, 1000 * np.array(seconds), percentiles)
        if name != "itl":
            found |= _with_failures(name, 1000 * np.array(seconds), failed, percentiles)
    return found


def _distribution(name: str, series: np.ndarray[Any, Any], percentiles: Sequence[float]) -> dict[str, Any]:
    if not len(series):
        keys = ["mean", "median", "std", *(f"p{each:g}" for each in percentiles)]
        return {f"{key}_{name}_ms": None for key in keys}
    return {
        f"mean_{name}_ms": float(series.mean()),
        f"median_{name}_ms": float(np.median(series)),
        f"std_{name}_ms": float(series.std()),
        **{f"p{each:g}_{name}_ms": float(np.percentile(series, each)) for each in percentiles},
    }


def _with_failures(
    name: str, series: np.ndarray[Any, Any], failed: int, percentiles: Sequence[float]
) -> dict[str, Any]:
    """Percentiles with each failure as infinite; JSON has no infinity, so that is the text `inf`."""
    if not len(series) + failed:
        return {}
    every = np.append(series, np.full(failed, math.inf))
    # Between a finite and an infinite value nothing can be interpolated.
    values = {f"{each:g}": float(np.percentile(every, each, method="nearest")) for each in percentiles}
    return {f"adj_p{each}_{name}_ms": "inf" if math.isinf(value) else value for each, value in values.items()}


def _good(outcome: Outcome, slos: Mapping[str, float]) -> bool:
    values = {
        "ttft": _since(outcome, outcome.first_token),
        "tpot": tpot(outcome) or 0.0,
        "e2el": _since(outcome, outcome.last_token),
    }
    return all(1000 * values[name] <= bound for name, bound in slos.items())


def _client(outcomes: Sequence[Outcome], duration: float, cpu: float, capped: bool) -> dict[str, Any]:
    """What the client itself did, and whether it, and not the server, set the figures."""
    lag = float(np.percentile([each.sent - each.due for each in outcomes], 99))
    share = cpu / duration
    why = []
    if share >= _BUSY:
        why.append(f"the client used {share:.0%} of its core")
    if not capped and lag > _LAG:
        why.append(f"a hundredth of the requests left {1000 * lag:.0f} ms late or more")
    return {"cpu": share, "p99_send_lag_ms": 1000 * lag, "saturated": bool(why), "why": "; ".join(why)}


def _busiest_second(whole: Sequence[Outcome], began: float) -> float:
    """The most tokens that arrived in one second, as if each answer's came evenly."""
    seconds: Counter[int] = Counter()
    for each in whole:
        if each.first_token is None:
            continue
        step = tpot(each) or 0.0
        for number in range(each.output_tokens):
            seconds[int(each.first_token + number * step - began)] += 1
    return float(max(seconds.values(), default=0))


def _most_at_once(outcomes: Sequence[Outcome]) -> int:
    edges = [(each.sent, 1) for each in outcomes]
    edges += [(each.ended, -1) for each in outcomes]
    most = now = 0
    for _, step in sorted(edges, key=lambda edge: (edge[0], edge[1])):
        now += step
        most = max(most, now)
    return most


def _since(outcome: Outcome, moment: float | None) -> float:
    return (moment or outcome.sent) - outcome.sent


def _seconds(outcome: Outcome, moment: float | None) -> float | None:
    return None if outcome.error is not None or moment is None else moment - outcome.sent
