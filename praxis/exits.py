"""How every command and process ends when it fails: one message on standard error, and the right exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from praxis.errors import ConfigError, PraxisError


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn a PraxisError into exit code 1, a ConfigError into 2. Raises SystemExit."""
    try:
        yield
    except PraxisError as error:
        sys.stderr.write(error.message + "\n")
        raise SystemExit(2 if isinstance(error, ConfigError) else 1) from None
