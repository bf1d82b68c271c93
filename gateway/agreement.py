"""What all gateways of one state database agree on within two seconds, on one machine or many: adapters, and that the
configuration is to be read again. Keys agree by `access`, which reads them every second."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from gateway.adapters.reconcile import Adapters
from praxis.configuration import Configuration
from praxis.errors import ConfigError
from praxis.state import migrate, writing

logger = logging.getLogger("praxis.gateway.agreement")

POLL_SECONDS = 0.5

RELOAD = "reload"

_table = sa.Table(
    "announcement",
    sa.MetaData(),
    sa.Column("topic", sa.String(32), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
)


def _create(connection: Connection) -> None:
    _table.create(connection)
    connection.execute(sa.insert(_table).values(topic=RELOAD, number=0))


STEPS = [_create]


class Announcements:
    """Counts, in the state database, how often something was announced."""

    def __init__(self, engine: Engine) -> None:
        migrate(engine, "announcements", STEPS)
        self._engine = engine

    def number(self) -> int:
        with self._engine.connect() as connection:
            return int(
                connection.execute(sa.select(_table.c.number).where(_table.c.topic == RELOAD)).scalar_one()
            )

    def announce(self) -> int:
        """Count one more; returns its number."""
        with writing(self._engine).begin() as connection:
            mine = _table.c.topic == RELOAD
            connection.execute(sa.update(_table).where(mine).values(number=_table.c.number + 1))
            return int(connection.execute(sa.select(_table.c.number).where(mine)).scalar_one())


class Agreement:
    """Follows what other gateways announce, and announces what this one was told."""

    def __init__(
        self, announcements: Announcements, configuration: Configuration, adapters: Adapters
    ) -> None:
        self._announcements = announcements
        self._configuration = configuration
        self._adapters = adapters
        self._seen: int | None = None
        self._away = False

    async def reload(self) -> None:
        """Read the configuration again, here and everywhere. Raises ConfigError when it is wrong here."""
        try:
            number = await asyncio.to_thread(self._announcements.announce)
            if self._seen is not None and number == self._seen + 1:
                self._seen = number
        except sa.exc.SQLAlchemyError as error:
            logger.error("reload not announced to other gateways", extra={"reason": type(error).__name__})
        await self._configuration.reload()

    async def run(self) -> None:
        """Follow until cancelled; a database that is away is waited for."""
        while True:
            try:
                await self._follow()
                self._away = False
            except sa.exc.SQLAlchemyError as error:
                if not self._away:
                    logger.error("state database away", extra={"reason": type(error).__name__})
                self._away = True
            await asyncio.sleep(POLL_SECONDS)

    async def _follow(self) -> None:
        number = await asyncio.to_thread(self._announcements.number)
        before, self._seen = self._seen, number
        if before is not None and number != before:
            with contextlib.suppress(ConfigError):  # logged, and told by /readyz
                await self._configuration.reload()
        await self._adapters.follow()
