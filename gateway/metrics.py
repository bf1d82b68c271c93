"""What the gateway counts, in Prometheus' form. Labels are bounded: only names of models.yaml, never what a client sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.routing.table import Table

M = TypeVar("M", Counter, Histogram)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class _Fleet(Collector):
    """Reads the replicas at the moment of the scrape, so that a gauge can never drift from the truth."""

    def __init__(self, table: Callable[[], Table]) -> None:
        self._table = table

    def collect(self) -> Iterable[Metric]:
        labels = ["backend", "replica"]
        inflight = GaugeMetricFamily("praxis_inflight_requests", "Requests now at a replica.", labels=labels)
        up = GaugeMetricFamily("praxis_replica_up", "1 when the replica can be reached.", labels=labels)
        ejected = GaugeMetricFamily("praxis_replica_ejected", "1 while taken out for failing.", labels=labels)
        for backend in self._table().backends.values():
            for index, replica in enumerate(backend.replicas):
                where = [backend.name, str(index)]
                inflight.add_metric(where, replica.in_flight)
                up.add_metric(where, float(replica.reachable))
                ejected.add_metric(where, float(backend.ejected(replica)))
        return [inflight, up, ejected]


class Metrics:
    """The gateway's counters, one object per process."""

    def __init__(self, table: Callable[[], Table]) -> None:
        self._children: dict[tuple[object, ...], Any] = {}
        self._registry = CollectorRegistry()
        self._registry.register(_Fleet(table))
        registry = self._registry
        self._requests = Counter(
            "praxis_requests",
            "Requests by the model asked for and how they ended.",
            ["model", "outcome"],
            registry=registry,
        )
        self._first = Histogram(
            "praxis_first_event_seconds",
            "Until the reply's first event.",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._seconds = Histogram(
            "praxis_request_seconds", "Until the reply's end.", ["model"], buckets=_SECONDS, registry=registry
        )
        self._retries = Counter(
            "praxis_retries", "Attempts beyond a request's first.", ["backend"], registry=registry
        )
        self._tokens = Counter(
            "praxis_tokens", "Tokens that engines counted.", ["model", "kind"], registry=registry
        )

    def finished(self, model: str, outcome: str, seconds: float) -> None:
        """A request ended; `outcome` is its status, `broken` after a cut stream, or `cancelled`."""
        self._child(self._requests, model, outcome).inc()
        self._child(self._seconds, model).observe(seconds)

    def first_event(self, model: str, seconds: float) -> None:
        self._child(self._first, model).observe(seconds)

    def retried(self, backend: str) -> None:
        self._child(self._retries, backend).inc()

    def used(self, model: str, prompt: int, completion: int) -> None:
        self._child(self._tokens, model, "prompt").inc(prompt)
        self._child(self._tokens, model, "completion").inc(completion)

    def _child(self, metric: M, *labels: str) -> M:
        """`metric.labels(…)`, remembered: the look-up in the library costs more than authentication does."""
        key = (id(metric), *labels)
        if key not in self._children:
            self._children[key] = metric.labels(*labels)
        child: M = self._children[key]
        return child

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self._registry)
