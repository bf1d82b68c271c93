"""What an engine does wrong is retried before the first byte, told afterwards, and never passed off as success."""

import json
from collections.abc import Callable

import pytest

from tests.fakes import faults
from tests.fakes.faults import Fault
from tests.fakes.lightllm import LightLLM
from tests.fakes.vllm import VLLM
from tests.gateway.asking import CHAT, COMPLETIONS, Reply, ask, house
from tests.gateway.conftest import Serve

EARLY: dict[str, tuple[Callable[[], Fault], int, str]] = {
    "reset": (faults.reset, 502, "upstream_error"),
    "closed": (faults.hang_up, 502, "upstream_error"),
    "500": (lambda: faults.status(500), 502, "upstream_error"),
    "503": (lambda: faults.status(503), 503, "overloaded_error"),
}
"""Faults before the first byte that another replica may make good, and what the client is told when none does."""

PATHS = pytest.mark.parametrize("path", [CHAT, COMPLETIONS])


def asked(replicas: list[VLLM]) -> int:
    """How often any engine was asked."""
    return sum(len(engine.asked) for engine in replicas)


def broken(reply: Reply, kind: str = "upstream_error") -> str:
    """The message of a stream that ended in an error: events before it, the error last, and no `[DONE]`."""
    assert reply.status == 200
    assert reply.error is not None
    assert reply.error["type"] == kind
    assert not reply.done
    return str(reply.error["message"])


@PATHS
@pytest.mark.parametrize("name", EARLY)
def test_a_fault_before_the_first_byte_is_made_good_by_another_replica(
    gateway: Serve, engine: VLLM, other: VLLM, stream: bool, path: str, name: str
) -> None:
    engine.script.next(EARLY[name][0]())
    reply = ask(gateway(house(engine, other)), stream=stream, path=path)
    assert reply.status == 200
    assert reply.text == "".join(engine.says)
    assert (len(engine.asked), len(other.asked)) == (1, 1)
    if stream:
        assert reply.done


@pytest.mark.parametrize("name", EARLY)
def test_a_fault_of_every_replica_is_told(
    gateway: Serve, replicas: list[VLLM], stream: bool, name: str
) -> None:
    fault, status, kind = EARLY[name]
    replicas[0].script.always(fault())
    reply = ask(gateway(house(*replicas)), stream=stream)
    assert reply.status == status
    assert reply.error is not None
    assert reply.error["type"] == kind
    assert "local" in reply.error["message"] or faults.REFUSAL in reply.error["message"]
    if status == 503:
        assert float(reply.headers["retry-after"]) > 0
    assert asked(replicas) <= 4


def test_the_next_request_finds_the_engine_well_again(
    gateway: Serve, replicas: list[VLLM], stream: bool
) -> None:
    running = gateway(house(*replicas))
    for fault, *_ in EARLY.values():
        replicas[0].script.next(*[fault() for _ in range(4)])
        ask(running, stream=stream)
        replicas[0].script.calm()
        assert ask(running, stream=stream).status == 200


def test_failures_in_traffic_never_shut_the_last_replica_out(
    gateway: Serve, engine: VLLM, stream: bool
) -> None:
    running = gateway(house(engine))
    engine.script.always(faults.status(500))
    assert {ask(running, stream=stream).status for _ in range(12)} == {502}
    engine.script.calm()
    assert ask(running, stream=stream).status == 200


def test_a_refused_connection_is_made_good_by_another_replica(
    gateway: Serve, engine: VLLM, other: VLLM, stream: bool
) -> None:
    running = gateway(house(engine, other))
    engine.refuse()
    for _ in range(4):
        assert ask(running, stream=stream).status == 200
    assert len(other.asked) == 4


def test_when_nobody_listens_it_is_503_at_once_and_well_when_one_does(
    gateway: Serve, replicas: list[VLLM], stream: bool
) -> None:
    running = gateway(house(*replicas))
    for engine in replicas:
        engine.refuse()
    for _ in range(2):
        reply = ask(running, stream=stream)
        assert reply.status == 503
        assert reply.error is not None
        assert reply.error["type"] == "overloaded_error"
        assert "`local`" in reply.error["message"]
        assert float(reply.headers["retry-after"]) > 0
    assert asked(replicas) == 0


def test_a_kept_connection_that_the_engine_closes_as_it_is_reused_costs_nothing(
    gateway: Serve, replicas: list[VLLM], stream: bool
) -> None:
    running = gateway(house(*replicas))
    for engine in replicas:
        engine.drop_reused = True
    for _ in range(6):
        assert ask(running, stream=stream).status == 200
    assert asked(replicas) == 6


def test_a_connection_that_was_idle_too_long_costs_nothing(
    gateway: Serve, engine: VLLM, stream: bool
) -> None:
    engine.idle = 0.2
    running = gateway(house(engine))
    for _ in range(3):
        assert ask(running, stream=stream).status == 200
        engine.refuse()
        engine.listen()
    assert len(engine.asked) == 3


ANSWERED: dict[str, tuple[Fault, int, str]] = {
    "400": (faults.status(400, "The prompt is a riddle."), 400, "invalid_request_error"),
    "422": (faults.status(422, "The prompt is a riddle."), 400, "invalid_request_error"),
    "401": (faults.status(401), 502, "upstream_error"),
    "403": (faults.status(403), 502, "upstream_error"),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_a_4xx_is_told_and_never_retried(
    gateway: Serve, replicas: list[VLLM], stream: bool, name: str
) -> None:
    fault, status, kind = ANSWERED[name]
    replicas[0].script.always(fault)
    reply = ask(gateway(house(*replicas)), stream=stream)
    assert reply.status == status
    assert reply.error is not None
    assert reply.error["type"] == kind
    assert "riddle" in reply.error["message"] or "key" in reply.error["message"]
    assert asked(replicas) == 1


def test_4xx_never_counts_against_a_replica(gateway: Serve, engine: VLLM, other: VLLM, stream: bool) -> None:
    running = gateway(house(engine, other))
    engine.script.next(*[faults.status(400, "no")] * 30)
    assert {ask(running, stream=stream).status for _ in range(30)} == {400}
    assert {ask(running, stream=stream).status for _ in range(30)} == {200}
    assert engine.asked
    assert other.asked
    assert asked([engine, other]) == 60


def test_the_engine_s_404_for_the_configured_model_is_the_operator_s_affair(
    gateway: Serve, engine: VLLM, stream: bool
) -> None:
    reply = ask(gateway(house(engine, upstream="renamed")), stream=stream)
    assert reply.status == 502
    assert reply.error is not None
    assert reply.error["type"] == "upstream_error"
    assert "upstream" in reply.error["message"]


@pytest.mark.parametrize(
    ("kind", "says", "gets", "error"),
    [
        ("vllm", 503, 503, "overloaded_error"),
        ("vllm", 429, 429, "rate_limit_error"),
        ("lightllm", 429, 503, "overloaded_error"),
    ],
)
def test_a_busy_engine_s_refusal_reaches_the_client_with_its_retry_after(
    gateway: Serve,
    engine: VLLM,
    lightllm: LightLLM,
    stream: bool,
    kind: str,
    says: int,
    gets: int,
    error: str,
) -> None:
    engine.script.always(faults.status(says, "Server is busy.", retry_after=7))
    reply = ask(gateway(house(engine if kind == "vllm" else lightllm, kind=kind)), stream=stream)
    assert reply.status == gets
    assert reply.error is not None
    assert reply.error["type"] == error
    assert reply.headers["retry-after"] == "7"


def test_lightllm_s_422_is_400_and_names_the_field(gateway: Serve, lightllm: LightLLM, stream: bool) -> None:
    reply = ask(gateway(house(lightllm, kind="lightllm")), stream=stream, reasoning_effort="max")
    assert reply.status == 400
    assert reply.error is not None
    assert reply.error["param"] == "reasoning_effort"
    assert "reasoning_effort" in reply.error["message"]


def test_vllm_s_400_keeps_its_message_and_field(gateway: Serve, engine: VLLM, stream: bool) -> None:
    reply = ask(gateway(house(engine)), stream=stream, max_tokens=300_000)
    assert reply.status == 400
    assert reply.error is not None
    assert reply.error["param"] == "max_tokens"
    assert "max_model_len=2048" in reply.error["message"]


@PATHS
def test_an_error_as_first_event_is_no_200(gateway: Serve, engine: VLLM, path: str) -> None:
    engine.script.always(faults.error_event(message="The engine fell over."))
    reply = ask(gateway(house(engine)), stream=True, path=path)
    assert reply.status == 502
    assert reply.error is not None
    assert "fell over" in reply.error["message"]


def test_an_error_as_first_event_is_made_good_by_another_replica(
    gateway: Serve, engine: VLLM, other: VLLM
) -> None:
    engine.script.next(faults.error_event())
    reply = ask(gateway(house(engine, other)), stream=True)
    assert reply.status == 200
    assert reply.done
    assert (len(engine.asked), len(other.asked)) == (1, 1)


def test_a_first_event_that_blames_the_request_is_400(gateway: Serve, replicas: list[VLLM]) -> None:
    error = {
        "error": {"message": "The prompt is too long.", "type": "BadRequestError", "param": None, "code": 400}
    }
    replicas[0].script.always(Fault(edit=lambda _: [faults.sse(error), faults.DONE]))
    reply = ask(gateway(house(*replicas)), stream=True)
    assert reply.status == 400
    assert reply.error is not None
    assert "too long" in reply.error["message"]
    assert asked(replicas) == 1


CUT: dict[str, Fault] = {
    "closed": faults.cut(3),
    "reset": faults.cut(3, how="reset"),
    "ended": Fault(edit=lambda parts: parts[:3]),
    "error-event": faults.error_event(3, "The engine broke."),
    "error-event-last": faults.error_event(3, "The engine broke.", done=False),
    "half-an-event": Fault(edit=lambda parts: [*parts[:3], parts[3][:20]], end="close"),
}


@PATHS
@pytest.mark.parametrize("name", CUT)
def test_a_stream_that_breaks_ends_in_an_error_and_is_not_retried(
    gateway: Serve, replicas: list[VLLM], path: str, name: str
) -> None:
    replicas[0].script.next(CUT[name])
    reply = ask(gateway(house(*replicas)), stream=True, path=path)
    assert broken(reply)
    assert asked(replicas) == 1
    request = next(request for engine in replicas for request in engine.asked)
    whole = b"".join(request.parts[:3]).replace(b'"model":"qwen"', b'"model":"law"')
    assert reply.raw.startswith(whole)
    assert reply.raw.removeprefix(whole).count(b"data: ") == 1


def test_a_stream_that_breaks_in_its_first_event_is_retried(
    gateway: Serve, engine: VLLM, other: VLLM
) -> None:
    engine.script.next(Fault(edit=lambda parts: [parts[0][:20]], end="close"))
    reply = ask(gateway(house(engine, other)), stream=True)
    assert reply.text == "".join(engine.says)
    assert reply.done
    assert asked([engine, other]) == 2


def test_a_stream_without_done_is_not_passed_off_as_whole(gateway: Serve, replicas: list[VLLM]) -> None:
    replicas[0].script.always(faults.without_done())
    reply = ask(gateway(house(*replicas)), stream=True)
    assert reply.text == "".join(replicas[0].says)
    assert broken(reply)


def test_a_malformed_line_passes_and_kills_nothing(gateway: Serve, replicas: list[VLLM]) -> None:
    event = b'data: {"choices": [{"index\n\n'
    replicas[0].script.next(faults.inserted(event, 2))
    reply = ask(gateway(house(*replicas)), stream=True)
    assert event in reply.raw
    assert reply.done


def test_a_malformed_first_line_passes_and_kills_nothing(gateway: Serve, engine: VLLM) -> None:
    engine.script.next(faults.inserted(b"data: {\n\n", 0))
    reply = ask(gateway(house(engine)), stream=True)
    assert reply.status == 200
    assert reply.done


def test_a_json_body_cut_short_is_made_good_by_another_replica(
    gateway: Serve, engine: VLLM, other: VLLM
) -> None:
    engine.script.next(faults.short_body())
    reply = ask(gateway(house(engine, other)))
    assert reply.status == 200
    assert reply.text == "".join(engine.says)


def test_a_json_body_cut_short_everywhere_is_told(gateway: Serve, replicas: list[VLLM]) -> None:
    replicas[0].script.always(faults.short_body())
    reply = ask(gateway(house(*replicas)))
    assert reply.status == 502
    assert reply.error is not None
    assert reply.error["type"] == "upstream_error"


def test_a_200_that_is_no_answer_is_told(gateway: Serve, engine: VLLM) -> None:
    error = {
        "error": {"message": "Out of memory.", "type": "InternalServerError", "param": None, "code": 500}
    }
    engine.script.next(Fault(edit=lambda parts: [json.dumps(error).encode().ljust(len(parts[0]))]))
    reply = ask(gateway(house(engine)))
    assert reply.status == 502
    assert reply.error is not None
    assert "Out of memory" in reply.error["message"]


def test_a_fallback_model_answers_when_the_first_cannot(gateway: Serve, engine: VLLM, stream: bool) -> None:
    with VLLM("backup", says=("from", " the backup")) as backup:
        config = json.loads(house(engine))
        config["backends"]["second"] = {"kind": "vllm", "replicas": [backup.url]}
        config["models"]["law"]["fallback"] = ["spare"]
        config["models"]["spare"] = {"backend": "second", "upstream": "backup"}
        running = gateway(json.dumps(config))
        engine.refuse()
        reply = ask(running, stream=stream)
    assert reply.text == "from the backup"
    assert reply.headers["x-praxis-model"] == "spare"
    assert b'"model":"law"' in reply.raw
