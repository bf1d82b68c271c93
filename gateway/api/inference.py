"""`/v1/chat/completions`, `/v1/completions` and `/v1/embeddings`: from the socket to the engine in one straight line."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from gateway.access import Access
from gateway.documents import Documents
from gateway.metrics import Metrics
from gateway.proxy.asgi import AsgiSink, ClientGone, Receive, Scope, Send, read_body, send_error
from gateway.proxy.call import Call, parse
from gateway.proxy.exchange import Exchange, Plan
from gateway.proxy.sweep import Sweep
from gateway.readiness import Readiness
from gateway.routing.table import Route, Table
from praxis.errors import InvalidRequest, Overloaded, PraxisError
from praxis.keys import Principal

PATHS = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/embeddings"})

_CLEAN_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}")


def request_id(scope: Scope) -> str:
    """The client's own id where it is short and clean, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _CLEAN_ID.fullmatch(value):
            return str(value, "ascii")
    return "req_" + secrets.token_hex(12)


@dataclass(frozen=True, slots=True)
class Inference:
    """The ASGI application of the hot paths: authenticate, read, route, and hand over to an `Exchange`."""

    access: Access
    table: Callable[[], Table]
    documents: Documents
    readiness: Readiness
    sweep: Sweep
    metrics: Metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        identity = request_id(scope)
        try:
            if self.readiness.draining:
                raise Overloaded("The gateway is shutting down; ask again.", retry_after=1)
            principal = await self.access.principal(scope["headers"])
            call = parse(await read_body(scope, receive))
            plan = self._plan(scope["path"], call, principal, identity)
        except ClientGone:
            return
        except PraxisError as error:
            await send_error(send, error, identity)
            return
        sink = AsgiSink(identity)
        await sink.carry(Exchange(plan, sink, self.sweep, self.metrics), receive, send)

    def _plan(self, path: str, call: Call, principal: Principal, identity: str) -> Plan:
        route = self.table().resolve(call.model, principal)
        if self._grounded(path, call, route):
            if principal.role == "internal":
                raise InvalidRequest(
                    f"`{call.model}` would answer by asking itself; use a base model.", param="model"
                )
            target = self.documents.target(call.model, route.base or route.name)
            return Plan(path, call, (target,), identity, self.documents.headers(principal))
        targets = route.targets
        for target in targets:
            target.backend.dialect.check(call)
        return Plan(path, call, targets, identity)

    def _grounded(self, path: str, call: Call, route: Route) -> bool:
        """Whether the document process answers: assistants, `file_search` on any model, and its own embedder."""
        chat = path == "/v1/chat/completions"
        if route.kind == "embedding":
            if path != "/v1/embeddings":
                raise InvalidRequest(
                    f"`{call.model}` only embeds; use it with /v1/embeddings.", param="model"
                )
            return True
        if route.kind == "assistant" and not chat:
            raise InvalidRequest(
                f"`{call.model}` is an assistant; use it with /v1/chat/completions.", param="model"
            )
        return route.kind == "assistant" or (chat and call.file_search)
