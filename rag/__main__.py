"""`python -m rag`: the document process, from its command line to its end."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from praxis import log
from praxis.errors import ConfigError, PraxisError


class Server(uvicorn.Server):
    """uvicorn's server, which ends by SIGTERM and SIGINT as by any other reason: with exit code 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(app: Any, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    server = Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
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
    await server.serve()
    if not server.started:
        raise SystemExit(1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="praxis rag", description="Documents in, cited answers out.")
    parser.add_argument("--config", type=Path, default=Path("models.yaml"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8081)
    arguments = parser.parse_args()
    log.setup("rag")
    try:
        # Loading what the process is made of takes seconds; `--help` and a wrong argument need none of it.
        from rag.app import create_app
        from rag.configuration import Configuration

        app = create_app(Configuration(arguments.config))
    except ConfigError as error:
        sys.stderr.write(error.message + "\n")
        raise SystemExit(2) from None
    except PraxisError as error:
        sys.stderr.write(error.message + "\n")
        raise SystemExit(1) from None
    asyncio.run(serve(app, arguments.host, arguments.port))


if __name__ == "__main__":
    main()
