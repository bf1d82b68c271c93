"""The speed that Praxis is to have, and whether a run shows it.

They hold for one process on one core, with keys, limits and two replicas. A target is judged by the median over
the rounds; the lowest and highest round stand beside it, because a target that lies between them is not decided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import sub
from typing import Any, Literal

from bench.load.figures import middle, pairs

Verdict = Literal["met", "missed", "errors", "not measured"]


@dataclass(frozen=True, slots=True)
class Target:
    """One figure of a run and its bound; `rounds` is empty where it was not measured."""

    what: str
    bound: float
    least: bool
    rounds: Sequence[float] = ()
    unit: str = ""
    errors: bool = False

    @property
    def verdict(self) -> Verdict:
        measured = middle(self.rounds)
        if self.errors:
            return "errors"
        if measured is None:
            return "not measured"
        return "met" if (measured >= self.bound if self.least else measured <= self.bound) else "missed"

    def record(self) -> dict[str, Any]:
        """The target as programs read it."""
        return {
            "target": self.what,
            "at_least" if self.least else "at_most": self.bound,
            "rounds": list(self.rounds),
            "verdict": self.verdict,
        }

    def row(self) -> dict[str, Any]:
        """The target as a row of a table."""
        measured = middle(self.rounds)
        return {
            "target": self.what,
            "bound": f"{'≥' if self.least else '≤'} {self.bound:g}{self.unit}",
            "measured": "–" if measured is None else f"{measured:,.2f}{self.unit}",
            "rounds": f"{min(self.rounds):,.2f} … {max(self.rounds):,.2f}" if len(self.rounds) > 1 else "",
            "verdict": self.verdict,
        }


_RATIOS = (
    ("json", 32, "vllm-router", 1.3),
    ("json", 256, "vllm-router", 1.5),
    ("sse", 32, "vllm-router", 1.1),
    ("sse", 256, "vllm-router", 1.3),
    ("bodies", 32, "vllm-router", 0.8),
    ("paced", 256, "vllm-router", 1.0),
    ("json", 32, "litellm", 200.0),
    ("sse", 32, "litellm", 200.0),
)
"""Load, clients, peer, and how many requests Praxis is to answer for one of the peer's."""

_LATER = (
    ("first event p50", "first_event_p50_ms", 5.0),
    ("first event p99", "first_event_p99_ms", 60.0),
    ("gap p99", "gap_p99_ms", 10.0),
)
"""By how many ms the events of paced streams may come later than directly."""

_MEMORY = 120.0
_GROWTH = 1.1


def targets(result: Mapping[str, Any]) -> Iterator[Target]:
    """Every target with what `result` says of it."""
    found = {(load["load"], load["clients"]): load for load in result["loads"]}
    for name, clients, peer, bound in _RATIOS:
        load = found.get((name, clients))
        what = f"{name}, {clients} clients: praxis ÷ {peer}"
        rounds = [each for each in load["ratios"].get(peer, []) if each is not None] if load else []
        yield Target(what, bound, True, rounds, errors=_failed(load, "praxis", peer))
    yield from _later(found.get(("paced", 256)))
    yield from _memory(result)


def _later(load: Mapping[str, Any] | None) -> Iterator[Target]:
    for what, figure, bound in _LATER:
        rounds: list[float] = []
        if load and {"praxis", "direct"} <= set(load["subjects"]):
            praxis, direct = (load["subjects"][name][figure] for name in ("praxis", "direct"))
            rounds = pairs(praxis, direct, sub)
        failed = _failed(load, "praxis", "direct")
        yield Target(f"paced, 256 clients: {what} later than direct", bound, False, rounds, " ms", failed)


def _memory(result: Mapping[str, Any]) -> Iterator[Target]:
    measured = result["subjects"].get("praxis", {}).get("memory_mib", {}).get("highest")
    soaked = result["soak"]
    peaks = [each for each in (measured, soaked and soaked["highest"]) if each]
    yield Target("resident memory of praxis at most", _MEMORY, False, [max(peaks)] if peaks else [], " MiB")
    marks = soaked["memory_mib"] if soaked else []
    answered = soaked["answered"] if soaked else [20_000, 200_000]
    what = f"its memory after {answered[-1]:,} requests ÷ after {answered[0]:,}"
    yield Target(what, _GROWTH, False, [marks[-1] / marks[0]] if marks else [])


def _failed(load: Mapping[str, Any] | None, *names: str) -> bool:
    """Whether all of these were measured under `load` and one of them with errors."""
    subjects = load["subjects"] if load else {}
    return all(name in subjects for name in names) and any(subjects[name]["errors"] for name in names)
