"""Which adapters should be live, as the state database says; models.yaml may name further ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from praxis.state import migrate, writing

_table = sa.Table(
    "adapter",
    sa.MetaData(),
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("base", sa.String(128), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("revision", sa.String(12), nullable=False),
    sa.Column("created_by", sa.String(128), nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
)


def _create(connection: Connection) -> None:
    _table.create(connection)


STEPS = [_create]


@dataclass(frozen=True, slots=True)
class Desired:
    """An adapter that should be live: its public name, the model it extends, its folder and its content's revision.

    `created_at` is in Unix seconds.
    """

    name: str
    base: str
    source: str
    revision: str
    created_by: str
    created_at: float

    @property
    def upstream(self) -> str:
        """The name that engines see. It changes with the content, so new weights never meet an old prefix cache."""
        return f"{self.name}@{self.revision}"


class DesiredAdapters:
    """The rows of the table `adapter`."""

    def __init__(self, engine: Engine) -> None:
        migrate(engine, "adapters", STEPS)
        self._engine = engine

    def all(self) -> list[Desired]:
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(_table).order_by(_table.c.created_at))
            return [Desired(**row._mapping) for row in rows]

    def put(self, desired: Desired) -> None:
        """Insert it, or replace the one of that name."""
        with writing(self._engine).begin() as connection:
            connection.execute(sa.delete(_table).where(_table.c.name == desired.name))
            connection.execute(sa.insert(_table).values(**asdict(desired)))

    def remove(self, name: str) -> None:
        with writing(self._engine).begin() as connection:
            connection.execute(sa.delete(_table).where(_table.c.name == name))
