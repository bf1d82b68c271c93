"""A server that answers each request with bytes of the test's own, write by write."""

import re
import socketserver
import threading
import time
from collections.abc import Sequence
from typing import Self

_BETWEEN = 0.001
"""Seconds between two writes, so that they are read one by one."""


class Scripted:
    """Serves inside `with`; each of `writes` is one write to the connection, which stays open. With several replies it
    gives one after the other, to POST requests, and the last one from then on; `connections` counts those that asked."""

    def __init__(self, *replies: Sequence[bytes]) -> None:
        script = list(replies)
        asked = self.connections = set[int]()

        class Handler(socketserver.StreamRequestHandler):
            disable_nagle_algorithm = True

            def handle(self) -> None:
                while head := self._head():
                    length = re.search(rb"content-length: (\d+)", head)
                    self.rfile.read(int(length[1]) if length else 0)
                    if not head.startswith(b"POST"):
                        self.wfile.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                        continue
                    asked.add(self.client_address[1])
                    try:
                        for part in script.pop(0) if len(script) > 1 else script[0]:
                            self.wfile.write(part)
                            time.sleep(_BETWEEN)
                    except OSError:
                        return  # The client has read enough.

            def _head(self) -> bytes:
                try:
                    return b"".join(iter(self.rfile.readline, b"\r\n")) if self.rfile.peek(1) else b""
                except OSError:
                    return b""

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
