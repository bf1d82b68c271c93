"""What every test room shares: nothing but the guarantee that a test does not find the machine's own Praxis."""

import os

import pytest


@pytest.fixture(autouse=True, scope="session")
def clean_environment() -> None:
    """Variables of the developer's shell change no test."""
    for name in [name for name in os.environ if name.startswith(("PRAXIS_", "OPENAI_"))]:
        del os.environ[name]
