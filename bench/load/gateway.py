"""What the gateway adds: the same load on the engines directly and through the gateway, interleaved in one run.

Only ratios of one run say something: machines differ, and so does one machine from minute to minute. Every
figure is a median over rounds; the rounds are kept, so that two runs can be compared with their noise.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median
from typing import Any, Literal

from bench.load.stage import Stage
from praxis.errors import PraxisError

EVENTS = 64
"""Events of a stream."""

_SATURATED = 0.9
"""Share of its core from which on the load side, client and engines, counts as the bottleneck."""

Kind = Literal["json", "sse"]
_KINDS: tuple[Kind, ...] = ("json", "sse")


@dataclass(frozen=True, slots=True)
class Settings:
    """How long and how often. `clients` are the numbers of clients that ask at once, one measurement each."""

    seconds: float
    rounds: int
    clients: Sequence[int]
    warm_up: float = 0.3

    @property
    def measurements(self) -> int:
        return self.rounds * len(_KINDS) * len(self.clients) * 2


Report = Callable[[int, str], None]
"""Told before every measurement: how many are done, and what comes next."""


def measure(settings: Settings, report: Report) -> dict[str, Any]:
    """Run the benchmark and return everything it saw. Raises PraxisError when a process does not do its part."""
    rounds: dict[tuple[Kind, int], list[dict[str, Any]]] = {}
    with Stage(events=EVENTS) as stage:
        idle = stage.memory()
        for done, (kind, clients, round_) in enumerate(_plan(settings)):
            pair: dict[str, Any] = {}
            # Taking turns at going first keeps a drift of the machine from favouring one side.
            for step, target in enumerate(("direct", "gateway") if round_ % 2 else ("gateway", "direct")):
                report(2 * done + step, f"{kind}, {clients} clients, {target}")
                pair[target] = _measure(stage, kind, clients, target, settings)
            rounds.setdefault((kind, clients), []).append(pair)
        memory = max(pair["gateway"]["memory_mib"] for pairs in rounds.values() for pair in pairs)
        pinned = stage.gateway_core is not None
    report(settings.measurements, "done")
    return {
        "kind": "gateway",
        "praxis": version("praxis"),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "pinned": pinned,
        },
        "settings": {"seconds": settings.seconds, "rounds": settings.rounds, "events": EVENTS},
        "memory_mib": {"idle": idle, "highest": memory},
        "loads": [_load(kind, clients, pairs) for (kind, clients), pairs in rounds.items()],
    }


def _plan(settings: Settings) -> Iterator[tuple[Kind, int, int]]:
    for round_ in range(settings.rounds):
        for kind in _KINDS:
            for clients in settings.clients:
                yield kind, clients, round_


def _measure(stage: Stage, kind: Kind, clients: int, target: str, settings: Settings) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.load.client", "--clients", str(clients)]
    command += ["--seconds", str(settings.seconds), "--warm-up", str(settings.warm_up)]
    for url in stage.gateway if target == "gateway" else stage.direct:
        command += ["--url", url]
    if kind == "sse":
        command += ["--stream", str(EVENTS)]
    if stage.load_core is not None:
        command += ["--core", str(stage.load_core)]
    began, gateway, engines = time.monotonic(), stage.gateway_seconds(), stage.engine_seconds()
    client = subprocess.run(
        command, env=os.environ | {"PRAXIS_API_KEY": stage.key}, capture_output=True, text=True, check=False
    )
    if client.returncode != 0:
        raise PraxisError(f"The load client failed: {client.stderr.strip()[-500:]}")
    figures: dict[str, Any] = json.loads(client.stdout)
    took = time.monotonic() - began
    figures["engines_cpu"] = (stage.engine_seconds() - engines) / took
    if target == "gateway":
        spent = stage.gateway_seconds() - gateway
        figures["gateway_cpu_us"] = 1e6 * spent / figures["answered"] if figures["answered"] else None
        figures["memory_mib"] = stage.memory()
    return figures


def _load(kind: Kind, clients: int, pairs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "load": kind,
        "clients": clients,
        "ratio": [_ratio(pair) for pair in pairs],
        "direct": _series([pair["direct"] for pair in pairs]),
        "gateway": _series([pair["gateway"] for pair in pairs]),
    }


def _ratio(pair: dict[str, Any]) -> float:
    direct = float(pair["direct"]["requests_per_second"])
    return float(pair["gateway"]["requests_per_second"]) / direct if direct else 0.0


def _series(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each figure as the list of its rounds; errors are added up."""
    series = {name: [each[name] for each in rounds] for name in rounds[0] if name != "errors"}
    errors: dict[str, int] = {}
    for each in rounds:
        for kind, count in each["errors"].items():
            errors[kind] = errors.get(kind, 0) + count
    return series | {"errors": errors}


def table(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The result in rows for people: medians over the rounds."""
    rows = []
    for load in result["loads"]:
        direct, gateway = load["direct"], load["gateway"]
        rows.append(
            {
                "load": load["load"],
                "clients": load["clients"],
                "direct/s": _middle(direct["requests_per_second"], 0),
                "gateway/s": _middle(gateway["requests_per_second"], 0),
                "ratio": _middle(load["ratio"], 3),
                "p50 ms": _both(direct, gateway, "p50_ms"),
                "p99 ms": _both(direct, gateway, "p99_ms"),
                "first event p50": _both(direct, gateway, "first_event_p50_ms"),
                "first event p99": _both(direct, gateway, "first_event_p99_ms"),
                "gateway µs/request": _middle(gateway["gateway_cpu_us"], 0),
                "client core": _both(direct, gateway, "cpu"),
                "errors": gateway["errors"] | {f"direct {kind}": n for kind, n in direct["errors"].items()},
            }
        )
    return rows


def notes(result: dict[str, Any]) -> list[str]:
    """What a reader must know before believing the table."""
    found = [
        f"Memory of the gateway: {result['memory_mib']['idle']:.0f} MiB idle, "
        f"{result['memory_mib']['highest']:.0f} MiB at most under load. Pairs are direct → gateway."
    ]
    if not result["machine"]["pinned"]:
        found.append("Fewer than two cores: gateway, engines and load took each other's time.")
    for load in result["loads"]:
        for target in ("direct", "gateway"):
            series = load[target]
            busy = median(a + b for a, b in zip(series["cpu"], series["engines_cpu"], strict=True))
            if result["machine"]["pinned"] and busy >= _SATURATED:
                found.append(
                    f"{load['load']}, {load['clients']} clients, {target}: client and engines filled their core "
                    f"({busy:.0%}); the figure is a lower bound."
                )
    return found


def failure(result: dict[str, Any]) -> str | None:
    """What keeps the result from being believed, or None."""
    if any(load["gateway"]["errors"] for load in result["loads"]):
        return "Requests through the gateway failed; the column `errors` says how."
    sides = [load[target] for load in result["loads"] for target in ("direct", "gateway")]
    if not all(all(side["requests"]) for side in sides):
        return "A measurement ended before one request was answered; give more `--seconds`."
    return None


def _middle(rounds: Sequence[float | None], digits: int) -> str:
    known = [each for each in rounds if each is not None]
    return f"{median(known):,.{digits}f}" if known else "–"


def _both(direct: dict[str, Any], gateway: dict[str, Any], name: str) -> str:
    sides = _middle(direct[name], 2), _middle(gateway[name], 2)
    return "–" if sides == ("–", "–") else " → ".join(sides)
