"""Consistent hashing: a key's replicas in an order that every gateway agrees on and that outlives changes.

A replica that leaves moves only the keys that were its own, each to the next in its order.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from math import ceil
from typing import Generic, TypeVar

T = TypeVar("T")

POINTS = 100
"""Places on the ring of a replica of weight 1: enough for shares within a tenth or so of what the weights say."""

FACTOR = 1.25
"""How much above its fair share a replica may be loaded for the sake of affinity (Mirrokni et al., 2016)."""


class Ring(Generic[T]):
    """Nodes by name and weight. The name decides where a node stands, so it must be the same in every process."""

    def __init__(self, nodes: Iterable[tuple[str, float, T]]) -> None:
        placed = sorted(
            (_hash(f"{name}#{number}"), name, node)
            for name, weight, node in nodes
            for number in range(max(1, round(POINTS * weight)))
        )
        self._points = [point for point, _, _ in placed]
        self._nodes = [node for _, _, node in placed]

    def order(self, key: str) -> Iterator[T]:
        """Every node once, the key's own first."""
        seen: set[int] = set()
        start = bisect(self._points, _hash(key))
        for index in range(len(self._nodes)):
            node = self._nodes[(start + index) % len(self._nodes)]
            if id(node) not in seen:
                seen.add(id(node))
                yield node


def bound(total: float, share: float) -> int:
    """How many requests a replica that should carry `share` (0…1) of all may have, with `total` in flight and one more."""
    return ceil(FACTOR * (total + 1) * share)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
