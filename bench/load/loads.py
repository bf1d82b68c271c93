"""What a gateway is loaded with: JSON, streams, streams at an engine's pace, big bodies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.load.engine import MODEL, PACED

Name = Literal["json", "sse", "paced", "bodies"]
NAMES: Sequence[Name] = ("json", "sse", "paced", "bodies")

EVENTS = 64
"""Events of a stream."""

INTERVAL = 0.01
"""Seconds between two events of a paced stream."""

_PACED_CLIENTS = 256
_BODY_CLIENTS = 32
_BODY_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class Load:
    """So many clients at once that all ask the same. `events` is 0 where they ask for JSON.

    It is measured for `seconds` after `warm_up` seconds that do not count.
    """

    name: Name
    clients: int
    seconds: float
    warm_up: float = 0.3
    events: int = 0
    padding: int = 0
    model: str = MODEL

    @property
    def title(self) -> str:
        """What it is called where people read it."""
        return f"{self.name}, {self.clients} client{'s' if self.clients > 1 else ''}"

    def options(self, seconds: float) -> list[str]:
        """What the load client is told, to load for `seconds`."""
        options = ["--clients", str(self.clients), "--stream", str(self.events), "--model", self.model]
        return [*options, "--padding", str(self.padding), "--seconds", str(seconds)]


def loads(names: Sequence[Name], clients: Sequence[int], seconds: float) -> Iterator[Load]:
    """The loads of these names; `clients` are the numbers of clients of `json` and `sse`."""
    for name in names:
        if name == "paced":
            # All streams begin together and stay in step, so a measurement is a few whole generations of them.
            length = EVENTS * INTERVAL
            window = max(2 * seconds, 2 * length)
            yield Load("paced", _PACED_CLIENTS, window, length, EVENTS, model=PACED)
        elif name == "bodies":
            yield Load("bodies", _BODY_CLIENTS, seconds, padding=_BODY_BYTES)
        else:
            for count in clients:
                yield Load(name, count, seconds, events=EVENTS if name == "sse" else 0)
