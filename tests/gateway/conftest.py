"""Fake engines and running gateways for the tests of the public surface."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fakes.faults import Script
from tests.fakes.lightllm import LightLLM
from tests.fakes.vllm import VLLM
from tests.gateway.asking import house
from tests.processes import Gateway, eventually

Serve = Callable[[str], Gateway]


@pytest.fixture(scope="session")
def standing_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for all tests that only need a configuration of their own, which it takes by reload."""
    with Gateway(tmp_path_factory.mktemp("gateway"), house("http://127.0.0.1:9")) as running:
        yield running


@pytest.fixture
def gateway(standing_gateway: Gateway) -> Iterator[Serve]:
    """The running gateway with this models.yaml in force. Whatever a test does, nothing stays in flight."""

    def serve(config: str) -> Gateway:
        standing_gateway.configure(config)
        return standing_gateway

    yield serve
    eventually(standing_gateway.idle, "no request is in flight after the test")


@pytest.fixture
def own_gateway(tmp_path: Path) -> Iterator[Serve]:
    """A gateway process of the test's own, for what a process keeps or ends with."""
    with ExitStack() as stack:
        yield lambda config: stack.enter_context(Gateway(tmp_path, config))


@pytest.fixture
def script() -> Script:
    """What goes wrong, in order of arrival, whichever engine is asked."""
    return Script()


@pytest.fixture
def engine(script: Script) -> Iterator[VLLM]:
    """A fake vLLM."""
    with VLLM(script=script) as running:
        yield running


@pytest.fixture
def other(script: Script) -> Iterator[VLLM]:
    """A second fake vLLM that shares the first one's script."""
    with VLLM(script=script) as running:
        yield running


@pytest.fixture
def lightllm(script: Script) -> Iterator[LightLLM]:
    """A fake LightLLM."""
    with LightLLM(script=script) as running:
        yield running


@pytest.fixture(params=[1, 2], ids=["one-replica", "two-replicas"])
def replicas(request: pytest.FixtureRequest, engine: VLLM, other: VLLM) -> list[VLLM]:
    """One engine, then two."""
    return [engine, other][: request.param]


@pytest.fixture(params=[False, True], ids=["plain", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    """Not streaming, then streaming."""
    return bool(request.param)
