"""`/v1/chat/completions`, `/v1/completions`, `/v1/responses` and `/v1/embeddings`: from the socket to the engine in one
straight line."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.access import Access
from gateway.adapters.traffic import Cold, Traffic
from gateway.documents import Documents
from gateway.limits import Limits
from gateway.proxy.asgi import AsgiSink, ClientGone, Receive, Scope, Send, read_body
from gateway.proxy.call import Call, parse
from gateway.proxy.estimate import cost
from gateway.proxy.exchange import Exchange
from gateway.proxy.head import Head
from gateway.proxy.plan import Plan
from gateway.proxy.record import Observer, Record, Tracing
from gateway.proxy.responses import PATH as RESPONSES
from gateway.proxy.responses import parse_response
from gateway.proxy.sink import Running, Sink, send_error, shutting_down
from gateway.proxy.sweep import Sweep
from gateway.proxy.writes import Writes
from gateway.readiness import Readiness
from gateway.routing.table import Route, Table, Target
from praxis.errors import InternalError, InvalidRequest, PraxisError
from praxis.keys import Principal

_ANSWERS = frozenset({"/v1/chat/completions", RESPONSES})
PATHS = _ANSWERS | {"/v1/completions", "/v1/embeddings"}


class RequestIds:
    """Ids of requests, each of which differs from all others. They are no secret."""

    def __init__(self) -> None:
        self._prefix = f"req_{secrets.token_hex(8)}"
        self._numbers = itertools.count()

    def new(self) -> str:
        return f"{self._prefix}{next(self._numbers):08x}"


@dataclass(frozen=True, slots=True)
class Inference:
    """The hot paths: authenticate, read, route, and hand over to an `Exchange`. Both ways in end in `begin`."""

    loop: asyncio.AbstractEventLoop
    access: Access
    table: Callable[[], Table]
    documents: Documents
    readiness: Readiness
    sweep: Sweep
    writes: Writes
    observer: Observer
    ids: RequestIds
    limits: Limits
    traffic: Traffic
    warm: Callable[[Target, float], Awaitable[None]]
    tracing: Tracing | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application of the hot paths."""
        sink = AsgiSink()
        head = Head(scope["path"], scope["headers"])
        running: Running | None = None
        try:
            body = await read_body(scope, receive)
        except ClientGone:
            return
        except PraxisError as error:
            self.refuse(error, self.record(head), sink)
        else:
            running = self.begin(head, body, sink)
        await sink.carry(running, receive, send)

    def begin(self, head: Head, body: bytes, sink: Sink) -> Running | None:
        """Carry out a request; `sink` hears the reply.

        Returns what is under way, or None when the reply is already with the sink.
        """
        record = self.record(head)
        try:
            if self.readiness.draining:
                raise shutting_down()
            principal = self.access.known(head)
            if principal is None or (principal.quota is not None and self.limits.shared):
                return Admission(self, record, head, body, sink)
            plan = self.plan(record, principal, body)
            if principal.quota is not None:
                record.ticket = self.limits.admit(principal, cost(plan.call))
            return self.start(record, plan, sink)
        except Cold:
            return Admission(self, record, head, body, sink)
        except PraxisError as error:
            self.refuse(error, record, sink)
        except Exception:
            # A defect is answered by whoever called; what the request was given goes back.
            self.limits.ended(record)
            raise
        return None

    def plan(self, record: Record, principal: Principal, body: bytes) -> Plan:
        """What is to be done for a request whose asker is known. Raises PraxisError."""
        record.principal = principal
        call = (parse_response if record.path == RESPONSES else parse)(body)
        plan = self._plan(record, call, principal)
        record.model, record.stream = record.model or call.model, call.stream
        return plan

    async def planned(self, record: Record, principal: Principal, body: bytes) -> Plan:
        """`plan`, as soon as the adapter that it needs is loaded. Raises PraxisError."""
        while True:
            try:
                return self.plan(record, principal, body)
            except Cold as cold:
                record.queued = time.monotonic()
                record.backend = cold.target.backend.name
                try:
                    await self.warm(cold.target, record.began)
                finally:
                    record.waited += time.monotonic() - record.queued

    def start(self, record: Record, plan: Plan, sink: Sink) -> Exchange:
        """Begin to carry out what was admitted."""
        exchange = Exchange(plan, sink, record, self.sweep, self.writes, self.observer)
        exchange.start()
        return exchange

    def refuse(self, error: PraxisError, record: Record, sink: Sink) -> None:
        """Answer with `error` a request that no engine will see."""
        record.outcome, record.error, record.ended = str(error.status), error.type, time.monotonic()
        send_error(sink, error, record.request_id)
        self.observer.ended(record)

    def record(self, head: Head) -> Record:
        """The record of a request that has just arrived."""
        record = Record(
            head.request_id or self.ids.new(),
            head.path,
            time.time(),
            time.monotonic(),
            head.session,
            head.traceparent,
            head.tracestate,
        )
        if self.tracing is not None and head.path in PATHS:
            self.tracing.began(record)
        return record

    def _plan(self, record: Record, call: Call, principal: Principal) -> Plan:
        path = record.path
        route = self.table().resolve(call.model, principal)
        if (route.grounded or "tools" in call.data) and self._grounded(path, call, route):
            if principal.role == "internal":
                raise InvalidRequest(
                    f"`{call.model}` would answer by asking itself; use a base model.", param="model"
                )
            record.model = route.name
            if route.kind != "embedding":
                record.made_with = route.base or route.name
            target = self.documents.target(call.model, route.base or route.name)
            return Plan(path, call, (target,), self.documents.headers(principal, call.model))
        targets = route.targets
        targets[0].backend.dialect.check(path, call, targets[0].images)
        if targets[0].adapter:
            return Plan(path, call, (self.traffic.admit(route, record),))
        if len(targets) > 1:
            targets = (targets[0], *(each for each in targets[1:] if _takes(each, path, call)))
        return Plan(path, call, targets)

    def _grounded(self, path: str, call: Call, route: Route) -> bool:
        """Whether the document process answers: assistants, `file_search` on any model, and its own embedder."""
        answers = path in _ANSWERS
        if route.kind == "embedding":
            if path != "/v1/embeddings":
                raise InvalidRequest(
                    f"`{call.model}` only embeds; use it with /v1/embeddings.", param="model"
                )
            return True
        if route.kind == "assistant" and not answers:
            raise InvalidRequest(
                f"`{call.model}` is an assistant; use it with /v1/chat/completions or /v1/responses.",
                param="model",
            )
        return route.kind == "assistant" or (answers and call.file_search)


def _takes(fallback: Target, path: str, call: Call) -> bool:
    """Whether a fallback could answer what is asked: one that cannot is passed over, not the client's affair."""
    try:
        fallback.backend.dialect.check(path, call, fallback.images)
    except InvalidRequest:
        return False
    return True


class Admission:
    """A request that has to wait before it can begin: its key is not in memory yet, and may have been made just now, its
    limits are counted in Redis, or its adapter is to be loaded first."""

    def __init__(self, inference: Inference, record: Record, head: Head, body: bytes, sink: Sink) -> None:
        self._inference = inference
        self._record = record
        self._sink = sink
        self._exchange: Exchange | None = None
        self._over = False
        self._task = inference.loop.create_task(self._admit(head, body))
        inference.sweep.add(self)

    def cancel(self) -> None:
        if self._exchange is not None:
            self._exchange.cancel()
        elif not self._over:
            self._end()
            self._task.cancel()
            self._record.outcome, self._record.ended = "cancelled", time.monotonic()
            self._inference.observer.ended(self._record)

    def check(self, now: float) -> None:
        """Whatever it waits for has a limit of its own."""

    def stop(self) -> None:
        """The gateway is shutting down and its patience has run out."""
        self._end()
        self._task.cancel()
        self._inference.refuse(shutting_down(), self._record, self._sink)

    def pause(self) -> None:
        if self._exchange is not None:
            self._exchange.pause()

    def resume(self) -> None:
        if self._exchange is not None:
            self._exchange.resume()

    async def _admit(self, head: Head, body: bytes) -> None:
        inference, record = self._inference, self._record
        try:
            principal = await inference.access.principal(head.headers)
            plan = await inference.planned(record, principal, body)
            record.ticket = await inference.limits.admitted(principal, cost(plan.call))
            self._exchange = inference.start(record, plan, self._sink)
        except PraxisError as error:
            inference.refuse(error, record, self._sink)
        except Exception:
            # The edge of a task: a defect must still answer its client.
            inference.refuse(InternalError("The gateway failed; its log has the reason."), record, self._sink)
            raise
        finally:
            self._end()

    def _end(self) -> None:
        """It waits no longer."""
        self._over = True
        self._inference.sweep.discard(self)
