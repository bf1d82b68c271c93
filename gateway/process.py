"""One gateway process: from its listening socket to its drained end."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import uvicorn

from gateway.app import Gateway, create_app
from gateway.place import Place
from gateway.server import HotProtocol, expire
from praxis.errors import ConfigError
from praxis.server import Server

DRAIN_POLL_SECONDS = 0.05

SWITCH_SECONDS = 0.0005
"""For how long a thread may keep the interpreter from the event loop; Python's own 5 ms show at p99."""


async def serve(
    config: Path,
    host: str,
    listen: Callable[[], socket.socket],
    place: Place | None = None,
    *,
    asgi: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT, then let what is in flight end within `server.drain` seconds.

    `place` says which of several workers this is; `asgi` takes the hot paths through ASGI too.
    """
    gateway = create_app(config, host, place)
    listener = listen()
    # uvicorn calls this for every connection, as it would a class.
    protocol = cast(type[asyncio.Protocol], partial(HotProtocol, gateway.inference))
    server = Server(
        uvicorn.Config(
            gateway,
            http="httptools" if asgi else protocol,
            loop="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            forwarded_allow_ips=gateway.configuration.current.server.trusted_proxies,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=5,
        )
    )
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    reloading: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(_reload(gateway))
        reloading.add(task)
        task.add_done_callback(reloading.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    drain = loop.create_task(_drain(gateway, server, stop))
    expiring = loop.create_task(expire(server.server_state.connections))
    # Everything made so far lives as long as the process: keep the collector from walking it again and again.
    gc.freeze()
    # A request leaves no cycles behind: there is little to find, and looking often costs a twentieth of all time.
    gc.set_threshold(50_000, 20, 100)
    # A thread that reads keys from the database may keep the event loop waiting for this long, ten times in one reading.
    sys.setswitchinterval(SWITCH_SECONDS)
    await server.serve(sockets=[listener])
    drain.cancel()
    expiring.cancel()


async def _reload(gateway: Gateway) -> None:
    try:
        await gateway.configuration.reload()
    except ConfigError:
        return  # logged, and told by /readyz


async def _drain(gateway: Gateway, server: uvicorn.Server, stop: asyncio.Event) -> None:
    await stop.wait()
    gateway.readiness.draining = True
    loop = asyncio.get_running_loop()
    until = loop.time() + gateway.configuration.current.server.drain
    # Streams end on their own, each in its own time: there is no one event to wait for.
    while len(gateway.sweep) and loop.time() < until:  # noqa: ASYNC110
        await asyncio.sleep(DRAIN_POLL_SECONDS)
    gateway.sweep.stop()
    server.should_exit = True
