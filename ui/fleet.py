"""Backends with their replicas, rag and the gateway itself, as an admin key sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from ui.client import Gateway, Json

_SUMMED = ("praxis_inflight_requests", "praxis_queue_length")
_WORKER = "praxis_worker_up"


@dataclass(frozen=True, slots=True)
class Replica:
    """An engine. `trouble` is unreachable, stalled, failing, busy or None; `ejected` says that requests pass it over, and
    `on_trial` that one at a time is let through again. `limit` is the most requests in flight, `running` and `waiting` what
    the engine says of itself; None where there is none, or nothing was said."""

    url: str
    trouble: str | None
    ejected: bool
    on_trial: bool
    spare: bool
    in_flight: int
    limit: int | None
    running: int | None
    waiting: int | None
    models: tuple[str, ...]

    @property
    def state(self) -> str:
        """up, spare, or what is the matter with it and whether it is used all the same."""
        if self.trouble in ("stalled", "failing"):
            return self.trouble if self.ejected else "trial" if self.on_trial else "limping"
        return self.trouble or ("spare" if self.spare else "up")


@dataclass(frozen=True, slots=True)
class Backend:
    """Interchangeable replicas; `queued` requests wait for room on any."""

    name: str
    kind: str
    queued: int
    replicas: tuple[Replica, ...]


@dataclass(frozen=True, slots=True)
class Fleet:
    """All that answers. `status` is ready, starting or draining; `refused` says why a changed configuration is not in force;
    `lacking` is what is waited for or out of order; `workers` are the gateway's processes, and whether each answers (none
    where it is a single one). Of each assistant the reason why it cannot answer, or None."""

    status: str
    generation: int
    refused: str
    lacking: tuple[str, ...]
    workers: Mapping[str, bool]
    backends: tuple[Backend, ...]
    rag: str
    assistants: Mapping[str, str | None]

    @property
    def replicas(self) -> Sequence[Replica]:
        return [replica for backend in self.backends for replica in backend.replicas]


def read_fleet(gateway: Gateway) -> Fleet:
    """How the fleet is now, summed over the gateway's workers. Raises GatewayError."""
    told = gateway.call("GET", "/admin/v1/status")
    counted = _Counted(gateway.text("/metrics"))
    state = told["gateway"]
    return Fleet(
        status=state["status"],
        generation=state["generation"],
        refused=state.get("config_refused") or "",
        lacking=tuple(state.get("waiting_for") or state.get("degraded") or ()),
        workers=counted.workers,
        backends=tuple(_backend(each, counted) for each in told["backends"]),
        rag=told["rag"]["state"],
        assistants=told["rag"]["assistants"],
    )


class _Counted:
    """What the gateway's metrics count: the worker that answers knows its own requests only."""

    def __init__(self, text: str) -> None:
        families: list[Metric] = list(text_string_to_metric_families(text))
        samples = [sample for family in families for sample in family.samples]
        self._samples = [sample for sample in samples if sample.name in _SUMMED]
        self.workers = {each.labels["worker"]: each.value == 1 for each in samples if each.name == _WORKER}

    def sum(self, name: str, **labels: str) -> int:
        found = (each for each in self._samples if each.name == name)
        return int(sum(each.value for each in found if labels.items() <= each.labels.items()))


def _backend(item: Json, counted: _Counted) -> Backend:
    name = item["name"]
    return Backend(
        name=name,
        kind=item["kind"],
        queued=counted.sum("praxis_queue_length", backend=name),
        replicas=tuple(
            _replica(each, counted.sum("praxis_inflight_requests", backend=name, replica=str(number)))
            for number, each in enumerate(item["replicas"])
        ),
    )


def _replica(item: Json, in_flight: int) -> Replica:
    return Replica(
        url=item["url"],
        trouble=item["trouble"],
        ejected=item["ejected"],
        on_trial=item["breaker"] == "half-open",
        spare=not item["weight"],
        in_flight=in_flight,
        limit=item["max_in_flight"],
        running=None if item["engine"] is None else int(item["engine"]["running"]),
        waiting=None if item["engine"] is None else int(item["engine"]["waiting"]),
        models=tuple(item["models"]),
    )
