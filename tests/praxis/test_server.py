"""The socket on which each process of Praxis listens."""

import socket

import pytest

from praxis.errors import PraxisError
from praxis.server import listen
from tests.processes import free_port


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_no_part_of_an_answer_waits_for_the_client_s_acknowledgement(host: str) -> None:
    with (
        listen("It", host, port := free_port()) as listening,
        socket.create_connection((host, port)),
        listening.accept()[0] as connection,
    ):
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_an_address_that_is_taken_is_told_with_what_to_do() -> None:
    with (
        listen("It", "127.0.0.1", port := free_port()),
        pytest.raises(PraxisError, match=f"It cannot listen on `127.0.0.1:{port}`.*--port"),
    ):
        listen("It", "127.0.0.1", port)
