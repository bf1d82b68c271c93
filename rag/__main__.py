"""`python -m rag`: the document process, from its command line to its end."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import uvicorn

from praxis import log
from praxis.errors import ConfigError


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
    uvicorn.run(
        app,
        host=arguments.host,
        port=arguments.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
