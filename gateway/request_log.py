"""One JSON line for each request, in the form of praxis/log.py. It tells who asked for what, who
answered and how long it took, and nothing of what was said.

The logging module takes longer over one line than the gateway over the request. So lines are made at once, gathered, and
written together a few times a second.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import stat
import time
from collections import deque

import orjson

from gateway.proxy.record import Record

logger = logging.getLogger("praxis.gateway.request_log")

FLUSH_SECONDS = 0.2

GATHERED = 256
"""Lines that are written without waiting for that: a second of a busy gateway has megabytes of them."""

HELD = 20_000
"""Lines that are held for a reader of the log that does not read. Further ones are dropped, and counted."""

PIECE = 256 * 1024
"""Bytes of one write into a file. Into a pipe it is `PIPE_BUF`, which goes there whole and, when `poll` says so, at once."""

LAST_SECONDS = 1.0
"""How long a gateway that ends waits for the reader of its log."""


class RequestLog:
    """Writes a line to the open file `descriptor` for each request that ended, as the process called `process`.

    Requests never wait for whoever reads the log: what it does not take waits here.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, process: str, descriptor: int) -> None:
        self._loop = loop
        self._process = process
        self._descriptor = descriptor
        self._piece = PIECE if stat.S_ISREG(os.fstat(descriptor).st_mode) else select.PIPE_BUF
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._lines: deque[bytes] = deque()
        self._dropped = 0
        self._timer: asyncio.TimerHandle | None = None
        self._second = 0
        self._stamp = ""

    def ended(self, record: Record, method: str = "POST") -> None:
        """Write a line about `record`, soon."""
        if len(self._lines) >= HELD:
            self._dropped += 1
            return
        self._lines.append(self._line(record, method))
        if len(self._lines) % GATHERED == 0:
            self._write(0)
        if self._timer is None:
            self._timer = self._loop.call_later(FLUSH_SECONDS, self._flush)

    def close(self) -> None:
        """Write what is left; a log that nobody reads is given up after a moment."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        until = time.monotonic() + LAST_SECONDS
        while self._lines and (left := until - time.monotonic()) > 0:
            self._write(int(left * 1000) + 1)

    def _line(self, record: Record, method: str) -> bytes:
        began, sent, first, ended = record.began, record.sent, record.first_event, record.ended
        at = record.at + ended - began
        second = int(at)
        if second != self._second:
            self._second, self._stamp = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        principal = record.principal
        return orjson.dumps(
            {
                "time": f"{self._stamp}.{int((at - second) * 1000):03d}Z",
                "level": "info",
                "process": self._process,
                "logger": "praxis.gateway.request",
                "message": "request",
                "request_id": record.request_id,
                "method": method,
                "path": record.path,
                "key": principal and principal.key_id,
                "tenant": principal and principal.tenant,
                "model": record.model,
                "served_by": record.served_by,
                "backend": record.backend,
                "replica": record.replica,
                "stream": record.stream,
                "outcome": record.outcome,
                "error": record.error,
                "attempts": record.attempts,
                "total_ms": _ms(ended - began),
                "first_event_ms": _ms(first - began) if first else None,
                "queued_ms": _ms(record.waited) if record.queued else None,
                "overhead_ms": _ms(sent - began - record.waited) if sent else None,
                "prompt_tokens": record.prompt_tokens,
                "completion_tokens": record.completion_tokens,
                "trace_id": record.traceparent[3:35] or None,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )

    def _flush(self) -> None:
        self._timer = None
        self._write(0)
        if self._lines:
            self._timer = self._loop.call_later(FLUSH_SECONDS, self._flush)
        elif self._dropped:
            dropped, self._dropped = self._dropped, 0
            logger.warning("request lines dropped: the log is not read fast enough", extra={"lines": dropped})

    def _write(self, patience: int) -> None:
        """Write lines while the reader takes them, waiting for it `patience` milliseconds."""
        lines = self._lines
        while lines and self._poll.poll(patience):
            piece = [lines.popleft()]
            size = len(piece[0])
            while lines and size + len(lines[0]) <= self._piece:
                size += len(lines[0])
                piece.append(lines.popleft())
            if not self._put(b"".join(piece)):
                return

    def _put(self, piece: bytes) -> bool:
        """Whether all went well; a log that is closed or full loses its lines, and never a request."""
        try:
            while piece:
                piece = piece[os.write(self._descriptor, piece) :]
        except BlockingIOError:
            self._lines.appendleft(piece)
            return False
        except OSError:
            self._dropped += len(self._lines) + 1
            self._lines.clear()
            return False
        return True


def _ms(seconds: float) -> float:
    # `round` takes three times as long.
    return int(seconds * 1_000_000) / 1000
