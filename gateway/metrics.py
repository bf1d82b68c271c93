"""What the gateway counts, in Prometheus' form. Labels are bounded: only names of models.yaml, never what a client sent.

The library's own counters and histograms cost several times what a request may; so numbers are added up in plain
dictionaries here, and given Prometheus' form when somebody scrapes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from operator import add, sub

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.proxy.record import GAPS, Record
from gateway.routing.breaker import State
from gateway.routing.table import Table

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_OVERHEAD = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)

BATCH = 1000
"""Values of one histogram that wait to be counted."""

_REPLICA_GAUGES = {
    "inflight_requests": "Requests now at a replica.",
    "replica_up": "1 when the replica can be reached.",
    "replica_ejected": "1 while taken out for failing or stalling.",
    "replica_breaker": "The replica's circuit breaker: 0 closed, 1 half-open, 2 open.",
}
_BREAKER = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


class _Histogram:
    """Counts by upper bounds, and the sum, per label.

    A request only leaves its value; values are sorted and counted by the thousand, which takes a tenth of the time.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts: dict[str, list[int]] = defaultdict(lambda: [0] * (len(bounds) + 1))
        self._sums: dict[str, float] = defaultdict(float)
        self._values: dict[str, list[float]] = defaultdict(list)

    def observe(self, label: str, seconds: float) -> None:
        values = self._values[label]
        values.append(seconds)
        if len(values) >= BATCH:
            self._count(label, values)

    def add(self, label: str, counts: Sequence[int], seconds: float) -> None:
        """Add what was counted elsewhere by the same bounds."""
        self._counts[label] = list(map(add, self._counts[label], counts))
        self._sums[label] += seconds

    def _count(self, label: str, values: list[float]) -> None:
        values.sort()
        up_to = [bisect_right(values, bound) for bound in self._bounds]
        self.add(label, list(map(sub, (*up_to, len(values)), (0, *up_to))), sum(values))
        values.clear()

    def family(self, name: str, text: str, label: str) -> HistogramMetricFamily:
        for value, values in self._values.items():
            self._count(value, values)
        family = HistogramMetricFamily(name, text, labels=[label])
        for value, counts in self._counts.items():
            total, buckets = 0, []
            for bound, count in zip((*map(str, self._bounds), "+Inf"), counts, strict=True):
                total += count
                buckets.append((bound, total))
            family.add_metric([value], buckets, self._sums[value])
        return family


class Metrics(Collector):
    """The gateway's numbers, one object per process. It hears of every request that ended."""

    def __init__(self, table: Callable[[], Table]) -> None:
        self._table = table
        self._requests: dict[tuple[str, str, str], int] = defaultdict(int)
        self._errors: dict[tuple[str, str], int] = defaultdict(int)
        self._retries: dict[str, int] = defaultdict(int)
        self._tokens: dict[tuple[str, str], int] = defaultdict(int)
        self._first = _Histogram(_SECONDS)
        self._seconds = _Histogram(_SECONDS)
        self._overhead = _Histogram(_OVERHEAD)
        self._gaps = _Histogram(GAPS)
        self._largest = _Histogram(GAPS)
        self._queued = _Histogram(_SECONDS)
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def ended(self, record: Record) -> None:
        """Count a request."""
        model = record.model
        self._requests[model, record.served_by, record.outcome] += 1
        if record.error:
            self._errors[record.error, record.backend] += 1
        if record.attempts > 1:
            self._retries[record.backend] += record.attempts - 1
        if record.first_event:
            self._first.observe(model, record.first_event - record.began)
        if record.gaps:
            self._gaps.add(model, record.gaps, record.gap_seconds)
            self._largest.observe(model, record.largest_gap)
        if record.sent:
            self._overhead.observe(model, record.sent - record.began - record.waited)
        if record.queued:
            self._queued.observe(record.backend, record.waited)
        if record.prompt_tokens or record.completion_tokens:
            self._tokens[model, "prompt"] += record.prompt_tokens
            self._tokens[model, "completion"] += record.completion_tokens
        self._seconds.observe(model, record.ended - record.began)

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "praxis_requests",
            "Requests by the model asked for, the one that answered, and how they ended.",
            labels=["model", "served_by", "outcome"],
        )
        for names, count in self._requests.items():
            requests.add_metric(names, count)
        errors = CounterMetricFamily("praxis_errors", "Errors told to clients.", labels=["type", "backend"])
        for kind, count in self._errors.items():
            errors.add_metric(kind, count)
        retries = CounterMetricFamily(
            "praxis_retries", "Attempts beyond a request's first.", labels=["backend"]
        )
        for backend, count in self._retries.items():
            retries.add_metric([backend], count)
        tokens = CounterMetricFamily(
            "praxis_tokens", "Tokens that engines counted.", labels=["model", "kind"]
        )
        for labels, count in self._tokens.items():
            tokens.add_metric(labels, count)
        yield from (requests, errors, retries, tokens)
        yield self._first.family("praxis_first_event_seconds", "Until the reply's first event.", "model")
        yield self._gaps.family("praxis_gap_seconds", "Between two reads of a stream.", "model")
        yield self._largest.family("praxis_largest_gap_seconds", "The largest gap of each stream.", "model")
        yield self._seconds.family("praxis_request_seconds", "Until the reply's end.", "model")
        yield self._overhead.family(
            "praxis_overhead_seconds",
            "From a request's arrival until an engine has it, without queues.",
            "model",
        )
        yield self._queued.family(
            "praxis_queue_seconds",
            "Spent in a queue by requests that found no room, however they ended.",
            "backend",
        )
        yield from self._fleet()

    def _fleet(self) -> Iterable[Metric]:
        """The replicas at the moment of the scrape, so that a gauge can never drift from the truth."""
        gauges = {
            name: GaugeMetricFamily(f"praxis_{name}", text, labels=["backend", "replica"])
            for name, text in _REPLICA_GAUGES.items()
        }
        engine = GaugeMetricFamily(
            "praxis_engine_requests",
            "Requests in an engine, whoever sent them, as it last told.",
            labels=["backend", "replica", "state"],
        )
        queue = GaugeMetricFamily(
            "praxis_queue_length", "Requests that wait for a replica with room.", labels=["backend"]
        )
        refused = CounterMetricFamily(
            "praxis_retries_refused", "Retries that the budget did not allow.", labels=["backend"]
        )
        for backend in self._table().backends.values():
            queue.add_metric([backend.name], len(backend.queue))
            refused.add_metric([backend.name], backend.budget.refused)
            for index, replica in enumerate(backend.replicas):
                where = [backend.name, str(index)]
                gauges["inflight_requests"].add_metric(where, replica.in_flight)
                gauges["replica_up"].add_metric(where, float(replica.reachable))
                gauges["replica_ejected"].add_metric(where, float(backend.ejected(replica)))
                gauges["replica_breaker"].add_metric(where, _BREAKER[replica.breaker.state])
                if (load := replica.engine_load) is not None:
                    engine.add_metric([*where, "running"], load.running)
                    engine.add_metric([*where, "waiting"], load.waiting)
        return [*gauges.values(), engine, queue, refused]
