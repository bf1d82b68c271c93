"""Whether Praxis's memory grows with the requests it has answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.load.figures import added
from bench.load.loads import EVENTS, Load
from bench.load.stage import stage

_MARKS = 10
"""Memory is read this often, after equal parts of the requests."""

_STREAMS = 0.1
"""This share of the requests are streams."""

_CLIENTS = 32
_WITHIN = 900.0
"""Seconds that one part may take."""


def soak(requests: int, report: Callable[[float, str], None]) -> dict[str, Any]:
    """Send a fresh Praxis that many requests; tell `report` which share of them is answered.

    Returns what had been answered at every mark and the resident memory then.
    """
    streams = max(1, round(requests / _MARKS * _STREAMS))
    parts = {
        Load("json", _CLIENTS, _WITHIN, 0.0): max(1, round(requests / _MARKS) - streams),
        Load("sse", _CLIENTS, _WITHIN, 0.0, EVENTS): streams,
    }
    answered = 0
    errors: dict[str, int] = {}
    marks: list[int] = []
    memory: list[float] = []
    with stage(["praxis"], optional=False, report=lambda what: report(0.0, what)) as running:
        (subject,) = running.subjects
        assert subject.server is not None
        start = subject.server.memory()
        for mark in range(_MARKS):
            report(mark / _MARKS, f"soak: {answered:,} of {requests:,} requests answered")
            for load, count in parts.items():
                figures = running.measure(subject, load, seconds=_WITHIN, requests=count)
                answered += figures["answered"]
                errors = added([errors, figures["errors"]])
            marks.append(answered)
            memory.append(subject.server.memory())
        highest = subject.server.highest_memory()
    return {"start": start, "answered": marks, "memory_mib": memory, "highest": highest, "errors": errors}
