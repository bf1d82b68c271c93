"""Ports that no other test worker takes meanwhile; without an import beyond the standard library, for every environment."""

import itertools
import os
import socket
from collections.abc import Iterator


def _own_ports() -> Iterator[int]:
    """Ports of this test worker alone, below those that the kernel gives to whoever asks for any, in a circle."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 10_000 + 2_000 * (worker % 10)
    return itertools.cycle(range(first, first + 2_000))


_PORTS = _own_ports()


def free_port() -> int:
    """A port that nobody listens on, nor another worker's test is about to."""
    for port in _PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("the circle of ports does not end")
