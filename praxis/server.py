"""Serving HTTP: what every process of Praxis does alike when it begins to listen."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from praxis.errors import PraxisError


class Server(uvicorn.Server):
    """uvicorn's server without its signal handling, so that SIGTERM may drain first and ends with exit code 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(process: str, host: str, port: int) -> socket.socket:
    """The listening socket of `process`. Raises PraxisError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = error.strerror or str(error)
        raise PraxisError(
            f"{process} cannot listen on `{host}:{port}` ({reason}); stop what listens there, or choose another "
            "port with `--port`."
        ) from None
    # asyncio knows such a socket's connections for no TCP and would leave this off: the body of each answer, written after its
    # head, would wait 40 ms for the client's delayed acknowledgement. Connections have it from the listening socket.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
