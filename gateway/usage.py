"""Counts what every request used, and writes it to the state database every two seconds.

Counting is adding up in memory. A batch that could not be written is kept and written again, each exactly once; so a
database that is away loses nothing, and a gateway that is killed loses the last two seconds.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time

import sqlalchemy as sa

from gateway.proxy.record import Record
from praxis.usage import DAY, HOUR, Bucket, Counts, Usage

logger = logging.getLogger("praxis.gateway.usage")

WRITE_SECONDS = 2.0
SAY_SECONDS = 60.0
LAST_SECONDS = 5.0
"""How long a gateway that ends waits for the database."""

MOST_BUCKETS = 50_000
"""Beyond these, kept while the database is away, models and hours are no longer told apart; keys always are."""

_Key = tuple[int, str, str, str, str]


class Meter:
    """Observes requests and keeps the account of them in `usage`."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self._writer = secrets.token_hex(16)
        self._batch = 0
        self._pending: dict[_Key, list[int]] = {}
        self._unwritten: dict[Bucket, Counts] = {}
        self._writing = asyncio.Lock()
        self._said = -SAY_SECONDS

    def ended(self, record: Record) -> None:
        """Count the request. What rag asks in a key's name is tokens of the answer that the key asked for."""
        principal = record.principal
        if principal is None:
            return
        inner = principal.role == "internal"
        hour = int(record.at)
        key = (
            hour - hour % HOUR,
            principal.key_id,
            principal.tenant,
            (principal.asked if inner else "") or record.model,
            record.made_with or record.served_by,
        )
        counts = self._pending.get(key)
        if counts is None:
            counts = self._open(key)
        if not inner:
            counts[0] += 1
            if record.error:
                counts[1] += 1
        if not record.made_with:
            counts[2] += record.prompt_tokens
            counts[3] += record.completion_tokens

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            await self.write()

    async def write(self) -> bool:
        """Write what was counted; whether nothing is left to write."""
        async with self._writing:
            while self._unwritten or self._pending:
                if not self._unwritten:
                    counted, self._pending = self._pending, {}
                    self._unwritten = {Bucket(*key): Counts(*counts) for key, counts in counted.items()}
                    self._batch += 1
                try:
                    await asyncio.to_thread(self._usage.add, self._writer, self._batch, self._unwritten)
                except sa.exc.SQLAlchemyError as error:
                    self._say(error)
                    return False
                self._unwritten = {}
            return True

    async def aclose(self) -> None:
        """Write the last of it; what cannot be written now is lost, and the log says how much."""
        written = False
        try:
            async with asyncio.timeout(LAST_SECONDS):
                written = await self.write()
        except TimeoutError:
            pass
        if not written:
            lost = [*self._unwritten.values(), *(Counts(*each) for each in self._pending.values())]
            requests, tokens = (
                sum(each.requests for each in lost),
                sum(each.prompt_tokens + each.completion_tokens for each in lost),
            )
            logger.error("usage lost", extra={"requests": requests, "tokens": tokens})

    def _open(self, key: _Key) -> list[int]:
        if len(self._pending) >= MOST_BUCKETS:
            hour, key_id, tenant, _, _ = key
            key = (hour - hour % DAY, key_id, tenant, "", "")
        return self._pending.setdefault(key, [0, 0, 0, 0])

    def _say(self, error: Exception) -> None:
        if time.monotonic() - self._said >= SAY_SECONDS:
            self._said = time.monotonic()
            logger.error("usage not written; it is kept", extra={"reason": type(error).__name__})
