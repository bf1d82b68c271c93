"""A result of the gateway benchmark for people: tables and what they must know before believing them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import add
from statistics import median
from typing import Any

from bench.load.figures import added, middle, pairs
from bench.load.plan import DISTURBED
from bench.load.targets import targets

_SATURATED = 0.9
"""Share of its core from which on the load side, client and engines, counts as the bottleneck."""

_FAILED = " ✗"
_BOUND = "≥ "

_LATENCIES = {
    "p50": "p50_ms",
    "p99": "p99_ms",
    "first event p50": "first_event_p50_ms",
    "first event p99": "first_event_p99_ms",
    "gap p99": "gap_p99_ms",
}


def throughput(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Requests or streams a second of every subject, and Praxis's ratio to each of the others."""
    names = list(result["subjects"])
    rows = []
    for load in result["loads"]:
        row = {"load": load["load"], "clients": load["clients"]}
        row |= {name: _rate(load["subjects"].get(name), result) for name in names}
        if "praxis" in names:
            row |= {f"÷ {name}": _ratio(load, name) for name in names if name != "praxis"}
        rows.append(row)
    return rows


def latency(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Times in milliseconds, CPU and errors of every subject under every load."""
    return [
        {
            "load": load["load"],
            "clients": load["clients"],
            "subject": name,
            **{title: _number(middle(series[figure]), 2) for title, figure in _LATENCIES.items()},
            "CPU µs/request": _number(middle(series["cpu_us"]), 0),
            "errors": series["errors"],
        }
        for load in result["loads"]
        for name, series in load["subjects"].items()
    ]


def memory(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Resident memory in MiB of every subject that is a process of its own."""
    return [
        {
            "subject": name,
            "version": subject["version"],
            **{f"{when} MiB": _number(mib, 0) for when, mib in subject["memory_mib"].items()},
        }
        for name, subject in result["subjects"].items()
        if name != "direct"
    ]


def goals(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every target that the run measured, beside what it measured."""
    return [each.row() for each in targets(result) if each.verdict != "not measured"]


def notes(result: Mapping[str, Any]) -> Iterator[str]:
    """What a reader must know before believing the tables."""
    for name, why in result["skipped"].items():
        yield f"Left out: {name} ({why})."
    if result["loads"]:
        yield "Figures are medians over the rounds; ÷ is praxis to that subject, taken within each round."
        if not result["pinned"]:
            yield "Fewer than two cores: servers, engines and load took each other's time."
        yield from _disturbance(sorted(_taken_by_others(result)))
    rates = [cell for row in throughput(result) for cell in row.values() if isinstance(cell, str)]
    if any(cell.startswith(_BOUND) for cell in rates):
        yield "≥: client and engines filled their own core, so the server could do more."
    if any(cell.endswith(_FAILED) for cell in rates):
        yield "✗: requests failed, so the figure says nothing of speed: " + "; ".join(_failures(result)) + "."
    if any(not cell for cell in rates):
        yield "Empty: the subject is too slow for that load in the time of a run."
    missing = [each for each in targets(result) if each.verdict == "not measured"]
    if missing:
        yield f"{len(missing)} of {len(list(targets(result)))} targets need what this run did not measure."
    if soak := result["soak"]:
        yield _soak(soak)


def _disturbance(taken: Sequence[float]) -> Iterator[str]:
    """What others' shares of a core, sorted, say of the figures."""
    disturbed = sum(share >= DISTURBED for share in taken)
    if median(taken) >= DISTURBED:
        yield (
            f"Other programs took {median(taken):.0%} of a core that was measured on, at worst {taken[-1]:.0%}: "
            "speeds and times are not to be believed. Close them, or let `--attempts` find quiet moments."
        )
    elif disturbed:
        yield (
            f"{disturbed} of {len(taken)} measurements lost more than {DISTURBED:.0%} of a core to other programs, "
            f"at worst {taken[-1]:.0%}: medians bear that, single rounds do not."
        )


def _taken_by_others(result: Mapping[str, Any]) -> Iterator[float]:
    """The share of a core that others took, for each measurement."""
    for load in result["loads"]:
        for series in load["subjects"].values():
            yield from series["others_cpu"]


def _failures(result: Mapping[str, Any]) -> Iterator[str]:
    for load in result["loads"]:
        for name, series in load["subjects"].items():
            if series["errors"]:
                kinds = ", ".join(f"{kind} {count:,}" for kind, count in added([series["errors"]]).items())
                yield f"{name} under {load['load']}, {load['clients']} clients ({kinds})"


def _soak(soak: Mapping[str, Any]) -> str:
    marks = zip(soak["answered"], soak["memory_mib"], strict=True)
    course = ", ".join(f"{mib:.1f} after {count:,}" for count, mib in marks)
    failed = f"; errors: {soak['errors']}" if soak["errors"] else ""
    return f"Soak, memory of praxis in MiB: {soak['start']:.1f} at its start, {course}{failed}."


def _rate(series: Mapping[str, Any] | None, result: Mapping[str, Any]) -> str:
    if series is None:
        return ""
    rate = middle(series["requests_per_second"]) or 0.0
    # A slow gateway's 7.3 is no 7, a fast one's 30,000.4 is no better than 30,000.
    text = _number(rate, 0 if rate >= 100 else 1)
    busy: Sequence[float] = pairs(series["cpu"], series["engines_cpu"], add)
    bound = _BOUND if result["pinned"] and (middle(busy) or 0.0) >= _SATURATED else ""
    return bound + text + (_FAILED if series["errors"] else "")


def _ratio(load: Mapping[str, Any], name: str) -> str:
    if name not in load["ratios"]:
        return ""
    failed = any(load["subjects"][each]["errors"] for each in ("praxis", name))
    return _number(middle(load["ratios"][name]), 2) + (_FAILED if failed else "")


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
