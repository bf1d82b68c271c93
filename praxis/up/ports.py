"""The addresses that `praxis up` takes, and whether they are free."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from praxis.errors import PraxisError


@dataclass(frozen=True, slots=True)
class Address:
    """Where a process listens; `fix` says how to give it another port."""

    process: str
    host: str
    port: int
    fix: str

    @property
    def url(self) -> str:
        """The root URL by which a client on this machine reaches it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def free(address: Address) -> bool:
    """Whether a process could listen there now."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError:
            return False
    return True


def must_be_free(addresses: Iterable[Address]) -> None:
    """Raises PraxisError that names every address which is taken, who has it and how to choose another."""
    taken = [
        f"Port {each.port}, which the {each.process} needs, is in use{_owner(each.port)}; "
        f"stop that or choose another port with {each.fix}."
        for each in addresses
        if not free(each)
    ]
    if taken:
        raise PraxisError("\n".join(taken))


def _owner(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1:2] == (port,)
            if listens and connection.pid:
                return f" by `{psutil.Process(connection.pid).name()}` (process {connection.pid})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return ""
    return ""
