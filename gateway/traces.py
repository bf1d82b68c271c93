"""OpenTelemetry traces: one span for each request on the hot paths, by the conventions for generative AI.

Only where the standard variables name an endpoint; without one the SDK is not even imported. A client's
`traceparent` is continued and the engine gets one whose parent is our span, so the span's ids are chosen when the request
arrives, and the span itself is made when it is over. It is made as what an exporter reads, without a tracer: a tracer takes several
times as long, for what a span that is over has no use for.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from gateway.proxy.record import Record

LAST_SECONDS = 3.0
"""How long a gateway that ends waits for the collector to take the last spans."""

_OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "text_completion",
    "/v1/responses": "chat",
    "/v1/embeddings": "embeddings",
}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class Traces:
    """Gives each request its place in a trace, and exports what was sampled. A collector that is down costs the spans
    beyond a bounded queue, and nothing else."""

    def __init__(self, process: str) -> None:
        named = "OTEL_SERVICE_NAME" in os.environ or "service.name" in os.environ.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        )
        attributes = {"service.instance.id": process} | ({} if named else {"service.name": "praxis-gateway"})
        self._resource = Resource.create(attributes)
        # What reads the sampler from the environment.
        self._sampler = TracerProvider(resource=self._resource, shutdown_on_exit=False).sampler
        self._scope = InstrumentationScope("praxis.gateway")
        self._processor = BatchSpanProcessor(OTLPSpanExporter())

    def began(self, record: Record) -> None:
        """Choose the ids of the request's span, and whether it is sampled."""
        given = _context(record.traceparent)
        if given is not None and given.is_valid:
            record.parent_span = f"{given.span_id:016x}"
            trace_id, context = given.trace_id, trace.set_span_in_context(NonRecordingSpan(given))
        else:
            trace_id, context = random.getrandbits(128) or 1, None
        operation = _OPERATIONS.get(record.path, "")
        sampled = self._sampler.should_sample(context, trace_id, operation, SpanKind.SERVER, {})
        record.sampled = sampled.decision is Decision.RECORD_AND_SAMPLE
        span_id = random.getrandbits(64) or 1
        record.traceparent = f"00-{trace_id:032x}-{span_id:016x}-{record.sampled:02x}"

    def ended(self, record: Record) -> None:
        """Hand the span to the exporter's own thread."""
        if not record.sampled:
            return
        context = _context(record.traceparent)
        parent = None
        if context is not None and record.parent_span:
            parent = SpanContext(context.trace_id, int(record.parent_span, 16), True, _SAMPLED)
        operation = _OPERATIONS.get(record.path, "")
        failed = record.outcome == "broken" or record.outcome.startswith("5")
        span = ReadableSpan(
            f"{operation} {record.model}".strip() or "request",
            context,
            parent,
            self._resource,
            _attributes(record, operation),
            _events(record),
            kind=SpanKind.SERVER,
            status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
            start_time=_at(record, record.began),
            end_time=_at(record, record.ended),
            instrumentation_scope=self._scope,
        )
        self._processor.on_end(span)

    async def close(self) -> None:
        """Export what is left; a collector that does not answer is given up after a moment."""
        # It may wait for half a minute in there, which ends with the process as the thread is a daemon.
        closing = threading.Thread(target=self._processor.shutdown, daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, LAST_SECONDS)


def _context(traceparent: str) -> SpanContext | None:
    """What a clean `traceparent` says; zeros make it one that is not valid."""
    if not traceparent:
        return None
    _, trace_id, span_id, flags = traceparent.split("-")
    sampled = TraceFlags(int(flags, 16) & TraceFlags.SAMPLED)
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=sampled)


def _attributes(record: Record, operation: str) -> Mapping[str, Any]:
    found: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "praxis",
        "gen_ai.request.model": record.model,
        "gen_ai.response.model": record.served_by,
        "http.request.method": "POST",
        "url.path": record.path,
        "praxis.request_id": record.request_id,
        "praxis.outcome": record.outcome,
        "praxis.stream": record.stream,
        "praxis.backend": record.backend,
        "praxis.attempts": record.attempts,
    }
    if record.outcome.isdigit():
        found["http.response.status_code"] = int(record.outcome)
    if record.error or record.outcome == "cancelled":
        found["error.type"] = record.error or "cancelled"
    if record.principal is not None:
        found["praxis.key"], found["praxis.tenant"] = record.principal.key_id, record.principal.tenant
    if record.replica:
        found["server.address"], found["server.port"] = _server(record.replica)
    if record.prompt_tokens or record.completion_tokens:
        found["gen_ai.usage.input_tokens"] = record.prompt_tokens
        found["gen_ai.usage.output_tokens"] = record.completion_tokens
    if record.first_event:
        found["gen_ai.response.time_to_first_chunk"] = record.first_event - record.began
    return {name: value for name, value in found.items() if value != ""}


def _events(record: Record) -> list[Event]:
    instants = {"praxis.sent": record.sent, "praxis.first_event": record.first_event}
    return [Event(name, timestamp=_at(record, instant)) for name, instant in instants.items() if instant]


def _at(record: Record, instant: float) -> int:
    """Nanoseconds of Unix time."""
    return int((record.at + instant - record.began) * 1e9)


@lru_cache(maxsize=1024)
def _server(replica: str) -> tuple[str, int]:
    parts = urlsplit(replica)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
