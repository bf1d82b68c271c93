"""`/admin/v1/adapters`: fine-tunes go live, are compared and go back, without a restart. Admin keys only."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, model_validator

from gateway.adapters.changes import Changes
from gateway.adapters.desired import Author
from gateway.adapters.scores import Score
from gateway.api.identity import Operator
from praxis.keys import Principal

Why = Annotated[str, Field(max_length=1000)]


def _share(value: Any) -> Any:
    """`10%` is 0.1."""
    if isinstance(value, str) and value.endswith("%"):
        try:
            return float(value[:-1]) / 100
        except ValueError:
            raise ValueError("write a share such as 10% or 0.1") from None
    return value


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    why: Why = ""


class LoadAdapter(_Body):
    """`source` is a folder that gateway and engines both see, below one of `server.adapter_roots`; with `backend`, that of a
    merged model, which this backend serves. With `stage` the name
    goes on answering as it does, and only who asks for `name@revision` gets the new content."""

    name: str
    base: str
    source: str
    stage: bool = False
    backend: str | None = None


class PromoteRevision(_Body):
    """`revision` may be cut short, as long as it is clear."""

    revision: str


class StartCanary(_Body):
    """`share` of the requests, as 0.1 or `10%`, go to `revision`: by session and chance, or by key."""

    revision: str
    share: Annotated[float, BeforeValidator(_share)]
    by: Literal["request", "key"] = "request"


class Reason(_Body):
    """Why, for the history."""


class Metric(BaseModel):
    """A mean over the rows that were answered, and the ends of its interval where they are known."""

    model_config = ConfigDict(extra="forbid")

    mean: FiniteFloat
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None


class RecordScore(BaseModel):
    """What a revision reached on a data set: of `rows` asked so many `answered`, and over these each metric."""

    model_config = ConfigDict(extra="forbid")

    dataset: Annotated[str, Field(min_length=1, max_length=256)]
    rows: Annotated[int, Field(ge=1, le=1_000_000_000)]
    answered: Annotated[int, Field(ge=0)]
    metrics: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=64)], Metric], Field(min_length=1, max_length=64)
    ]

    @model_validator(mode="after")
    def _answered_of_rows(self) -> Self:
        if self.answered > self.rows:
            raise ValueError("`answered` is more than `rows`")
        return self


class AdapterScore(RecordScore):
    """The same with who recorded it, and when (Unix seconds)."""

    at: float
    who: str


class Placement(BaseModel):
    """Whether a replica holds a revision."""

    url: str
    loaded: bool


class Canary(BaseModel):
    """The revision that gets a share (0 to 1) of the requests."""

    revision: str
    share: float
    by: Literal["request", "key"]


class AdapterRevision(BaseModel):
    """A revision that engines hold, and what it did so far at all gateways. `model` is the name that asks for it and no
    other; `backend` serves it merged, where it is not loaded beside its base; `errors` are its own, none of the clients'. Times are seconds, and means over what was answered. `scores` are the last of each data set, the latest first."""

    revision: str
    model: str
    state: Literal["current", "canary", "staged"]
    share: float
    base: str
    backend: str | None
    source: str
    created_by: str
    created_at: float
    why: str
    origin: str
    replicas: list[Placement]
    in_flight: int
    requests: int
    errors: int
    error_rate: float | None
    prompt_tokens: int
    completion_tokens: int
    mean_seconds: float | None
    mean_first_event_seconds: float | None
    scores: list[AdapterScore]


class Adapter(BaseModel):
    """An adapter. What stands beside `revisions` is of the current one; `revision` is null while none was promoted."""

    name: str
    base: str
    revision: str | None
    source: str
    created_by: str
    created_at: float
    canary: Canary | None
    replicas: list[Placement]
    revisions: list[AdapterRevision]


class LoadedAdapter(Adapter):
    """The adapter after a load: `loaded` is the revision that came, `chosen` the checkpoint that was taken (empty for the
    folder itself) and `why`; `unchecked` says which checks could not be made."""

    loaded: str
    chosen: str
    why: str
    unchecked: list[str]


class Adapters(BaseModel):
    object: Literal["list"] = "list"
    data: list[Adapter]


class AdapterChange(BaseModel):
    """A change: `before` and `after` are what the name answered with, `origin` is where the change was asked for."""

    name: str
    action: Literal["load", "promote", "canary", "rollback", "unload"]
    revision: str
    before: str | None
    after: str | None
    share: float | None
    source: str
    who: str
    at: float
    why: str
    origin: str


class AdapterChanges(BaseModel):
    object: Literal["list"] = "list"
    data: list[AdapterChange]


class Unloaded(BaseModel):
    """`draining` says that requests are still in flight there; engines forget it when they are over."""

    name: str
    revision: str | None = None
    unloaded: bool
    draining: bool


def routes(changes: Changes) -> APIRouter:
    """The router."""
    router = APIRouter(prefix="/admin/v1/adapters", tags=["adapters"])

    @router.get("")
    async def list_adapters(_: Operator) -> Adapters:
        """Every adapter, with its revisions, where they are and what they did."""
        return Adapters.model_validate({"data": await changes.list()})

    @router.post("")
    async def load_adapter(body: LoadAdapter, request: Request, operator: Operator) -> LoadedAdapter:
        """Load an adapter into every replica of its base's backend, or another content of the one of that name."""
        who = author(request, operator, body.why)
        told = await changes.load(
            body.name, body.base, body.source, who, stage=body.stage, backend=body.backend
        )
        return LoadedAdapter.model_validate(told)

    @router.get("/{name}")
    async def show_adapter(name: str, _: Operator) -> Adapter:
        """One adapter."""
        return Adapter.model_validate(await changes.show(name))

    @router.delete("/{name}")
    async def unload_adapter(name: str, request: Request, operator: Operator, why: Why = "") -> Unloaded:
        """Take an adapter out of every replica, with all its revisions."""
        return Unloaded.model_validate(await changes.unload(name, author(request, operator, why)))

    @router.delete("/{name}/revisions/{revision}")
    async def unload_revision(
        name: str, revision: str, request: Request, operator: Operator, why: Why = ""
    ) -> Unloaded:
        """Take one revision out of every replica."""
        return Unloaded.model_validate(await changes.release(name, revision, author(request, operator, why)))

    @router.post("/{name}/revisions/{revision}/scores")
    async def record_score(name: str, revision: str, body: RecordScore, operator: Operator) -> AdapterScore:
        """Keep with a revision what it reached on a data set; lists show the last of each data set."""
        score = Score(**body.model_dump(), at=time.time(), who=operator.name)
        await changes.score(name, revision, score)
        return AdapterScore.model_validate(asdict(score))

    @router.post("/{name}/promote")
    async def promote_revision(
        name: str, body: PromoteRevision, request: Request, operator: Operator
    ) -> Adapter:
        """Have the name answer with a revision."""
        who = author(request, operator, body.why)
        return Adapter.model_validate(await changes.promote(name, body.revision, who))

    @router.put("/{name}/canary")
    async def start_canary(name: str, body: StartCanary, request: Request, operator: Operator) -> Adapter:
        """Send a share of the name's requests to a revision; again with another share changes it."""
        who = author(request, operator, body.why)
        return Adapter.model_validate(await changes.canary(name, body.revision, body.share, body.by, who))

    @router.delete("/{name}/canary")
    async def end_canary(name: str, request: Request, operator: Operator, why: Why = "") -> Adapter:
        """Send all requests to the current revision again."""
        return Adapter.model_validate(await changes.end_canary(name, author(request, operator, why)))

    @router.post("/{name}/rollback")
    async def roll_back(
        name: str, request: Request, operator: Operator, body: Reason | None = None
    ) -> Adapter:
        """End the canary where there is one, else go back to the revision before."""
        who = author(request, operator, body.why if body is not None else "")
        return Adapter.model_validate(await changes.rollback(name, who))

    @router.get("/{name}/history")
    async def show_history(name: str, _: Operator) -> AdapterChanges:
        """Every change of the name, first to last; also of one that is unloaded."""
        return AdapterChanges.model_validate({"data": await changes.history(name)})

    return router


def author(request: Request, operator: Principal, why: str) -> Author:
    """Who asks for a change, why, and from which address."""
    origin = request.client.host if request.client is not None else ""
    return Author(operator.name, why, origin, operator.actor)
