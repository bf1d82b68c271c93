"""The lease: one row in the state database that one gateway at a time holds while it changes what engines hold.

It expires by itself, so that a gateway that dies in the middle hinders the others for seconds only.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from praxis.errors import Overloaded
from praxis.state import migrate, writing

TERM_SECONDS = 8.0
"""How long it lasts unless renewed; its holder renews it three times in that."""

ASK_SECONDS = 0.1

_table = sa.Table(
    "lease",
    sa.MetaData(),
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("holder", sa.String(64), nullable=False),
    sa.Column("until", sa.Float, nullable=False),
)


def _create(connection: Connection) -> None:
    _table.create(connection)


STEPS = [_create]


def now(connection: Connection) -> float:
    """Unix seconds by the clock that all gateways of this database share."""
    if connection.dialect.name == "postgresql":
        return float(connection.execute(sa.text("select extract(epoch from clock_timestamp())")).scalar_one())
    return time.time()


class Lease:
    """The lease `name`, as `holder` would have it."""

    def __init__(self, engine: Engine, name: str, holder: str) -> None:
        migrate(engine, "leases", STEPS)
        self._engine = engine
        self._name = name
        self._holder = holder
        self._own = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def held(self, patience: float) -> AsyncIterator[None]:
        """Hold it within the block. Raises Overloaded when another has it for longer than `patience` seconds."""
        try:
            async with asyncio.timeout(patience):
                await self._own.acquire()
        except TimeoutError:
            raise _busy() from None
        try:
            await self._acquire(patience)
            over = asyncio.Event()
            renewing = asyncio.create_task(self._renew(over))
            try:
                yield
            finally:
                # A renewal that is under way must not come after the release.
                over.set()
                await renewing
                with contextlib.suppress(sa.exc.SQLAlchemyError):  # then it expires
                    await asyncio.to_thread(self.release)
        finally:
            self._own.release()

    async def _acquire(self, patience: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while not await asyncio.to_thread(self.take):
            if loop.time() >= until:
                raise _busy()
            await asyncio.sleep(ASK_SECONDS)

    async def _renew(self, over: asyncio.Event) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), TERM_SECONDS / 3)
                return
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                await asyncio.to_thread(self.take)

    def take(self) -> bool:
        """Take it, or renew it; whether it is ours now."""
        mine = _table.c.name == self._name
        try:
            with writing(self._engine).begin() as connection:
                present = now(connection)
                row = connection.execute(sa.select(_table).where(mine).with_for_update()).first()
                terms = {"holder": self._holder, "until": present + TERM_SECONDS}
                if row is None:
                    connection.execute(sa.insert(_table).values(name=self._name, **terms))
                elif row.holder == self._holder or row.until <= present:
                    connection.execute(sa.update(_table).where(mine).values(terms))
                else:
                    return False
        except sa.exc.IntegrityError:  # another made the row at the same moment
            return False
        return True

    def release(self) -> None:
        """Let another have it."""
        mine = sa.and_(_table.c.name == self._name, _table.c.holder == self._holder)
        with writing(self._engine).begin() as connection:
            connection.execute(sa.delete(_table).where(mine))


def _busy() -> Overloaded:
    return Overloaded("Another change of adapters is under way; try again shortly.", retry_after=5)
