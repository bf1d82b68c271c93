"""What a gateway adds, beside other gateways: the same loads on each subject, interleaved in one run.

Only ratios of one run say something: machines differ, and so does one machine from minute to minute. So within
every round each load is put on all subjects one after another, ratios are taken within the round, and every
figure is a median over rounds. The rounds are kept, so that two runs can be compared with their noise.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from bench.load.figures import ratio, series
from bench.load.loads import EVENTS, Load, loads
from bench.load.plan import DISTURBED, Plan, cost
from bench.load.soak import soak
from bench.load.stage import Stage, stage
from bench.load.subjects import Subject, seconds
from bench.load.targets import targets

_WAKE_CLIENTS = 32
_WAKE_REQUESTS = 64
_WAKE_WITHIN = 30.0
"""Before the first round every subject answers this many; first requests load code that later ones find loaded."""

Report = Callable[[float, str], None]
"""Told before every measurement: how many of the estimated seconds are done, and what comes next."""


def measure(plan: Plan, report: Report) -> dict[str, Any]:
    """Run the benchmark and return everything it saw. Raises PraxisError when a process does not do its part."""
    result: dict[str, Any] = {
        "kind": "gateway",
        "praxis": version("praxis"),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
        },
        "settings": {"rounds": plan.rounds, "events": EVENTS},
        "subjects": {},
        "skipped": {},
        "loads": [],
        "soak": None,
    }
    if plan.loads:
        result |= _rounds(plan, report)
    if plan.soak:
        before = plan.estimate - plan.soaking
        result["soak"] = soak(plan.soak, lambda share, what: report(before + share * plan.soaking, what))
    report(plan.estimate, "done")
    return result | {"targets": [each.record() for each in targets(result)]}


def _rounds(plan: Plan, report: Report) -> dict[str, Any]:
    seen: dict[Load, list[dict[str, dict[str, Any]]]] = {
        load: [{} for _ in range(plan.rounds)] for load in plan.loads
    }
    able = [name for name in plan.subjects if any(seconds(name, load) for load in plan.loads)]
    with stage(able, optional=plan.optional, report=lambda what: report(0.0, what)) as running:
        subjects = {each.name: each for each in running.subjects}
        for subject in running.subjects:
            report(0.0, f"first requests of {subject.name}")
            _wake(running, subject)
        start, done = _memory(running), plan.start
        for round_, load, name in plan.turns(list(subjects)):
            report(done, f"round {round_ + 1} of {plan.rounds}: {load.title}, {name}")
            seen[load][round_][name] = _measure(running, subjects[name], load, plan.attempts)
            done += cost(name, load)
        memory = {"start": start, "after": _memory(running), "highest": _memory(running, highest=True)}
        return {
            "pinned": running.core is not None,
            "subjects": {
                name: {
                    "version": subject.version,
                    "memory_mib": {when: known[name] for when, known in memory.items()},
                }
                for name, subject in subjects.items()
            },
            "skipped": running.skipped
            | {name: "too slow for these loads" for name in plan.subjects if name not in able},
            "loads": [_load(load, rounds, list(subjects)) for load, rounds in seen.items()],
        }


def _measure(running: Stage, subject: Subject, load: Load, attempts: int) -> dict[str, Any]:
    """The first attempt that others left alone, or the one that they disturbed least.

    The choice looks at what others did, never at the figures of the subject, so it favours none.
    """
    least: dict[str, Any] = {}
    for _ in range(attempts):
        figures = running.measure(subject, load, seconds=seconds(subject.name, load) or load.seconds)
        if not least or figures["others_cpu"] < least["others_cpu"]:
            least = figures
        if least["others_cpu"] < DISTURBED:
            break
    return least


def _wake(running: Stage, subject: Subject) -> None:
    for load in loads(["json", "sse"], [_WAKE_CLIENTS], _WAKE_WITHIN):
        running.measure(subject, load, seconds=_WAKE_WITHIN, requests=_WAKE_REQUESTS)
    if subject.server:
        subject.server.forget_highest()


def _memory(running: Stage, *, highest: bool = False) -> dict[str, float | None]:
    """The resident memory of every subject that has a living process, in MiB."""
    found: dict[str, float | None] = {}
    for each in running.subjects:
        if each.server is None or not each.server.alive:
            found[each.name] = None
        else:
            found[each.name] = each.server.highest_memory() if highest else each.server.memory()
    return found


def _load(
    load: Load, rounds: Sequence[Mapping[str, dict[str, Any]]], subjects: Sequence[str]
) -> dict[str, Any]:
    """One load as the series of its subjects, and what Praxis reaches of each of the others in every round."""
    names = [name for name in subjects if name in rounds[0]]
    others = [name for name in names if name != "praxis"] if "praxis" in names else []
    return {
        "load": load.name,
        "clients": load.clients,
        "seconds": load.seconds,
        "subjects": {name: series([each[name] for each in rounds]) for name in names},
        "ratios": {name: [ratio(each["praxis"], each[name]) for each in rounds] for name in others},
    }


def failure(result: Mapping[str, Any]) -> str | None:
    """What keeps the figures of Praxis from being believed, or None."""
    own = [
        load["subjects"][name]
        for load in result["loads"]
        for name in ("direct", "praxis")
        if name in load["subjects"]
    ]
    soaked = result["soak"]["errors"] if result["soak"] else {}
    if soaked or any(each["errors"] for each in own):
        return "Requests failed directly or through Praxis; the errors stand above."
    if not all(all(each["requests"]) for each in own):
        return "A measurement ended before one request was answered; give more `--seconds`."
    return None
