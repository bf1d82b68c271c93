"""`python -m gateway`: one gateway process, or with `--workers` a parent that keeps several."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
from functools import partial
from pathlib import Path

from gateway.place import Place
from praxis import log
from praxis.config import load
from praxis.exits import exit_codes
from praxis.server import listen


def _alone(given: argparse.Namespace) -> None:
    import uvloop

    from gateway.process import serve

    listening = partial(listen, "The gateway", given.host, given.port)
    uvloop.run(serve(given.config, given.host, listening, asgi=given.asgi))


def _one_of_several(given: argparse.Namespace) -> None:
    import uvloop

    from gateway.process import serve
    from praxis.up.program import die_with_parent

    die_with_parent(os.getppid())
    listening = partial(socket.socket, fileno=given.listener)
    uvloop.run(serve(given.config, given.host, listening, given.worker, asgi=given.asgi))


def _keep(given: argparse.Namespace) -> None:
    # The parent serves nothing: without the gateway's own modules it stays small.
    from gateway.exposure import must_be_safe
    from gateway.workers import Workers, command

    config = load(given.config)
    must_be_safe(config, given.host)
    with listen("The gateway", given.host, given.port) as listener:
        each = command(given.config, given.host, given.port, asgi=given.asgi)
        workers = Workers(each, given.workers, listener, config.server.drain)
        code = asyncio.run(workers.run())
    raise SystemExit(code)


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError
    return count


def main() -> None:
    parser = argparse.ArgumentParser(prog="praxis gateway", description="The OpenAI-compatible gateway.")
    parser.add_argument("--config", type=Path, default=Path("models.yaml"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--workers", type=_count, default=1, help="processes that share the port")
    parser.add_argument(
        "--asgi",
        action="store_true",
        help="serve the hot paths through ASGI too: slower, should the fast way fail",
    )
    parser.add_argument("--worker", type=Place.parse, help=argparse.SUPPRESS)
    parser.add_argument("--listener", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    log.setup("gateway" if given.worker is None else given.worker.process)
    with exit_codes():
        if given.worker is not None:
            _one_of_several(given)
        elif given.workers > 1:
            _keep(given)
        else:
            _alone(given)


if __name__ == "__main__":
    main()
