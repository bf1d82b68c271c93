"""What every test room shares: the guarantee that where and how the tests are run changes none of them."""

import os
import signal

import pytest


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
