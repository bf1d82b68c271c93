"""What a request may have to wait for before an engine gets it: a replica with room, and a connection to one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from gateway.proxy.attempts import Attempts
from gateway.proxy.connection import Connection
from gateway.proxy.record import Record
from gateway.routing.queue import Queue
from gateway.routing.replica import Replica
from praxis.errors import PraxisError


class InQueue:
    """A request's place in the `queue` of a backend whose replicas are all full. Either `granted` or `shed` is called
    when it has left it, unless it was cancelled."""

    def __init__(
        self,
        queue: Queue,
        attempts: Attempts,
        record: Record,
        granted: Callable[[Replica], None],
        shed: Callable[[PraxisError], None],
    ) -> None:
        self._queue = queue
        self._attempts = attempts
        self._record = record
        self._granted = granted
        self._shed = shed
        self._key = record.principal.key_id if record.principal is not None else ""

    def enter(self) -> None:
        """Wait; it may be over at once."""
        self._record.queued = monotonic()
        self._queue.enter(self, self._key, ahead=bool(self._attempts.tried))

    def cancel(self) -> None:
        """Out of the queue, whoever it was that ended the wait."""
        self._queue.leave(self, self._key)
        if not self._record.sent:
            self._record.waited += monotonic() - self._record.queued

    # What the queue asks and tells

    def look(self) -> Replica | None:
        return self._attempts.look()

    def granted(self, replica: Replica) -> None:
        self.cancel()
        self._granted(replica)

    def shed(self, error: PraxisError) -> None:
        self.cancel()
        self._shed(error)


class Dialing:
    """A connection to `replica` that is being made. Either `made` or `failed` is called, unless it was cancelled."""

    def __init__(
        self,
        replica: Replica,
        loop: asyncio.AbstractEventLoop,
        made: Callable[[Connection], None],
        failed: Callable[[Replica, OSError], None],
    ) -> None:
        self._task = loop.create_task(self._connect(replica, made, failed))

    def cancel(self) -> None:
        self._task.cancel()

    async def _connect(
        self,
        replica: Replica,
        made: Callable[[Connection], None],
        failed: Callable[[Replica, OSError], None],
    ) -> None:
        try:
            connection = await replica.pool.connect()
        except OSError as error:
            failed(replica, error)
        else:
            made(connection)
