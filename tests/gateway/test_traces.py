"""Traces by OpenTelemetry's conventions, taken by a collector that really parses them."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.fakes import faults
from tests.fakes.collector import Collector, attributes
from tests.fakes.engine import Deaf
from tests.fakes.vllm import VLLM
from tests.gateway.asking import Reply, ask, house
from tests.processes import Gateway, eventually

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Gateway]:
    """A gateway that sends its traces to the collector, soon."""
    folder = tmp_path_factory.mktemp("traced")
    with Gateway(
        folder,
        house("http://127.0.0.1:9"),
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_BSP_SCHEDULE_DELAY="100",
    ) as running:
        yield running


@pytest.fixture
def running(traced: Gateway, engine: VLLM) -> Gateway:
    """That gateway in front of the engine."""
    traced.configure(house(engine))
    return traced


def span_of(collector: Collector, reply: Reply) -> Span:
    """The span of the request that had this reply."""
    identity = reply.headers["x-request-id"]

    def find() -> list[Span]:
        return [
            each for each in collector.spans if attributes(each.attributes)["praxis.request_id"] == identity
        ]

    return eventually(find, f"the span of {identity} is exported", within=60)[0]  # type: ignore[no-any-return]


def test_a_request_is_a_span_within_the_client_s_trace(
    running: Gateway, collector: Collector, engine: VLLM
) -> None:
    reply = ask(running, stream=True, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    span = span_of(collector, reply)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert engine.asked[0].header("traceparent") == f"00-{TRACE}-{span.span_id.hex()}-01"
    assert (span.name, span.kind) == ("chat law", Span.SPAN_KIND_SERVER)
    said = attributes(span.attributes)
    assert said["gen_ai.operation.name"] == "chat"
    assert (said["gen_ai.request.model"], said["gen_ai.response.model"]) == ("law", "law")
    assert said["gen_ai.usage.input_tokens"] > 0
    assert said["gen_ai.usage.output_tokens"] > 0
    assert (said["server.address"], said["server.port"]) == ("127.0.0.1", engine.port)
    assert (said["praxis.attempts"], said["praxis.outcome"]) == (1, "200")
    assert said["praxis.request_id"] == reply.headers["x-request-id"]
    assert [event.name for event in span.events] == ["praxis.sent", "praxis.first_event"]
    instants = [
        span.start_time_unix_nano,
        *(event.time_unix_nano for event in span.events),
        span.end_time_unix_nano,
    ]
    assert instants == sorted(instants)
    assert abs(instants[-1] / 1e9 - time.time()) < 120
    assert collector.resources[0]["service.name"] == "praxis-gateway"
    content = "Overtime", "overtime", running.user_key
    assert not any(each in str(span) for each in content)


def test_errors_and_retries_are_told_and_a_trace_begins_where_the_client_has_none(
    running: Gateway, collector: Collector, engine: VLLM
) -> None:
    engine.script.next(faults.cut(after=1))
    broken = span_of(collector, ask(running, stream=True))
    assert broken.parent_span_id == b""
    assert broken.status.code == Status.STATUS_CODE_ERROR
    assert attributes(broken.attributes)["error.type"] == "upstream_error"
    assert engine.asked[0].header("traceparent") == f"00-{broken.trace_id.hex()}-{broken.span_id.hex()}-01"
    zeros = f"00-{'0' * 32}-{'0' * 16}-01"
    refused = span_of(collector, ask(running, model="nobody", headers={"traceparent": zeros}))
    assert refused.status.code == Status.STATUS_CODE_UNSET
    assert refused.trace_id not in (b"", b"\0" * 16, broken.trace_id)
    assert attributes(refused.attributes)["http.response.status_code"] == 404


def test_what_the_client_does_not_sample_is_passed_on_and_not_exported(
    running: Gateway, collector: Collector, engine: VLLM
) -> None:
    unsampled = ask(running, headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
    sent = engine.asked[0].header("traceparent") or ""
    assert sent.startswith(f"00-{TRACE}-")
    assert sent.endswith("-00")
    assert PARENT not in sent
    span_of(collector, ask(running))
    told = [attributes(span.attributes)["praxis.request_id"] for span in collector.spans]
    assert unsampled.headers["x-request-id"] not in told


def test_a_share_is_sampled_and_the_last_spans_are_exported_at_the_end(tmp_path: Path, engine: VLLM) -> None:
    variables = {
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",
        "OTEL_SERVICE_NAME": "front",
        "OTEL_BSP_SCHEDULE_DELAY": "60000",
    }
    with Collector() as collector:
        endpoint = f"{collector.url}/v1/traces"
        with Gateway(
            tmp_path, house(engine), OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=endpoint, **variables
        ) as running:
            ask(running)
            ask(running, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(60) == 0
        assert [span.trace_id.hex() for span in collector.spans] == [TRACE]
        assert (engine.asked[0].header("traceparent") or "").endswith("-00")
        assert collector.resources[0]["service.name"] == "front"


def test_without_an_endpoint_nothing_of_it_is_there_and_a_traceparent_goes_on_as_it_is(
    tmp_path: Path, engine: VLLM
) -> None:
    given = f"00-{TRACE}-{PARENT}-01"
    with Gateway(tmp_path, house(engine), PYTHONPROFILEIMPORTTIME="1") as running:
        ask(running, headers={"traceparent": given, "tracestate": "congo=t61rcWkgMzE"})
        ask(running, headers={"tracestate": "without=a parent"})
    assert [each.header("traceparent") for each in engine.asked] == [given, None]
    assert [each.header("tracestate") for each in engine.asked] == ["congo=t61rcWkgMzE", None]
    imported = running.log.read_text()
    assert "gateway.request_log" in imported
    assert "opentelemetry.sdk" not in imported


def test_a_collector_that_is_silent_slows_nothing_and_keeps_no_gateway_from_ending(
    tmp_path: Path, engine: VLLM
) -> None:
    variables = {
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_BSP_MAX_QUEUE_SIZE": "10",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5",
    }
    with (
        Deaf() as deaf,
        Gateway(tmp_path, house(engine), OTEL_EXPORTER_OTLP_ENDPOINT=deaf.url, **variables) as running,
    ):
        assert all(ask(running).status == 200 for _ in range(30))
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == 0
        assert time.monotonic() - began < 20, "the exporter itself would try for half a minute"
