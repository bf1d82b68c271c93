"""What is to be done for a request, and the request that an engine gets of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from gateway.proxy.call import Call
from gateway.proxy.record import Record
from gateway.routing.replica import Replica
from gateway.routing.table import Target
from praxis.errors import InternalError


@dataclass(slots=True)
class Plan:
    """The call, where it may go, and the headers that it carries beyond the usual."""

    path: str
    call: Call
    targets: tuple[Target, ...]
    headers: Sequence[tuple[bytes, bytes]] = ()

    def request(self, target: Target, replica: Replica, record: Record, number: int) -> tuple[bytes, bytes]:
        """Head and body of the request to `replica`, the record's `number`th. Raises InternalError where the model's
        `defaults` are no JSON."""
        try:
            body = self.call.for_upstream(
                target.upstream, target.defaults, count_tokens=not target.backend.dialect.counts_unasked
            )
        except orjson.JSONEncodeError:
            raise InternalError(f"`defaults` of model `{target.model}` in models.yaml are no JSON.") from None
        # The engine gets an id of its own each time: engines misbehave when they see one twice.
        head = b"%scontent-length: %d\r\nx-request-id: %s-%d\r\n%s\r\n" % (
            replica.pool.head(self.path, target.backend.api_key),
            len(body),
            record.request_id.encode(),
            number,
            self._more(record) if record.traceparent or self.headers else b"",
        )
        return head, body

    def _more(self, record: Record) -> bytes:
        """The lines of a head that few have."""
        headers = list(self.headers)
        if record.traceparent:
            headers.append((b"traceparent", record.traceparent.encode()))
            if record.tracestate:
                headers.append((b"tracestate", record.tracestate.encode()))
        return b"".join(b"%s: %s\r\n" % each for each in headers)
