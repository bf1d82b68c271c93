"""What every test room shares: the guarantee that where and how the tests are run changes none of them, and databases.

tests/clients runs in environments that have clients installed and nothing of Praxis: imports beyond pytest wait for the
fixtures that need them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from sqlalchemy import Engine
    from xdist.remote import Producer
    from xdist.scheduler import Scheduling

    from tests.services import PostgreSQL


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first: all that share the real engine."""
    items.sort(key=lambda item: item.get_closest_marker("chain") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Where several workers share the tests, a file stays with one, and so do all that share the real engine."""
    shared = "tests/chain"
    from xdist.scheduler import LoadFileScheduling

    class Rooms(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return shared if str(Path(file).parent) == shared else file

    return Rooms(config, log)


@pytest.fixture(autouse=True, scope="session")
def clean_environment() -> None:
    """Variables of the developer's shell change no test; those of tests/clients are its arguments."""
    for name in list(os.environ):
        if name.startswith(("PRAXIS_", "OPENAI_")) and not name.startswith("PRAXIS_TEST_"):
            del os.environ[name]


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Processes under test hear Ctrl-C also where a shell runs the tests in the background, ignoring it, as children do."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One PostgreSQL for all tests; each makes databases of its own."""
    from tests.services import PostgreSQL

    with PostgreSQL() as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a module. While it runs, so does Playwright's event loop, and commands that want one of their own,
    as other modules' tests in this worker do, could not."""
    from tests.browser import chromium

    with chromium() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty state database: SQLite, then PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'deep' / 'state.db'}"
    running: PostgreSQL = request.getfixturevalue("postgresql")
    return running.database()


@pytest.fixture
def database(state: str) -> Iterator[Engine]:
    """An engine of `state`, closed after the test."""
    from praxis.state import connect

    engine = connect(state)
    yield engine
    engine.dispose()
