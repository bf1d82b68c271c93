"""`python -m rag`: the document process, from its command line to its end."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path
from typing import Any

import uvicorn

from praxis import log
from praxis.configuration import Configuration
from praxis.exits import exit_codes
from praxis.server import Server, listen


async def serve(app: Any, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises PraxisError when the address cannot be had."""
    listener = listen("rag", host, port)
    server = Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=5,
        )
    )

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await server.serve(sockets=[listener])


def main() -> None:
    parser = argparse.ArgumentParser(prog="praxis rag", description="Documents in, cited answers out.")
    parser.add_argument("--config", type=Path, default=Path("models.yaml"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8081)
    arguments = parser.parse_args()
    log.setup("rag")
    with exit_codes():
        # Loading what the process is made of takes seconds; `--help` and a wrong argument need none of it.
        from rag.app import create_app

        app = create_app(Configuration(arguments.config))
        asyncio.run(serve(app, arguments.host, arguments.port))


if __name__ == "__main__":
    main()
