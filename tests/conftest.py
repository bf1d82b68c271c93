"""What every test room shares: nothing but the guarantee that a test does not find the machine's own Praxis."""

import os

import pytest


@pytest.fixture(autouse=True, scope="session")
def clean_environment() -> None:
    """Variables of the developer's shell change no test; those of tests/clients are its arguments."""
    for name in list(os.environ):
        if name.startswith(("PRAXIS_", "OPENAI_")) and not name.startswith("PRAXIS_TEST_"):
            del os.environ[name]
