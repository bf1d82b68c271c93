"""What each revision did so far, over all gateways: requests, errors, tokens and times, in the state database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from gateway.adapters.traffic import Counts
from praxis.state import migrate, writing

_table = sa.Table(
    "adapter_count",
    sa.MetaData(),
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("revision", sa.String(12), primary_key=True),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("errors", sa.BigInteger, nullable=False),
    sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
    sa.Column("completion_tokens", sa.BigInteger, nullable=False),
    sa.Column("answered", sa.BigInteger, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("first_seconds", sa.Float, nullable=False),
)


def _create(connection: Connection) -> None:
    _table.create(connection)


STEPS = [_create]


class Tally:
    """The table `adapter_count`. A batch whose writing broke off after the database had it would be added twice: these
    numbers compare revisions, and nobody is billed by them."""

    def __init__(self, engine: Engine) -> None:
        migrate(engine, "adapter_counts", STEPS)
        self._engine = engine

    def add(self, counted: Mapping[str, Counts]) -> None:
        """Add what was counted, by `name@revision`."""
        with writing(self._engine).begin() as connection:
            for upstream, counts in sorted(counted.items()):
                name, _, revision = upstream.rpartition("@")
                this = sa.and_(_table.c.name == name, _table.c.revision == revision)
                new = asdict(counts)
                added = {each: _table.c[each] + value for each, value in new.items()}
                if not connection.execute(sa.update(_table).where(this).values(added)).rowcount:
                    connection.execute(sa.insert(_table).values(name=name, revision=revision, **new))

    def read(self) -> Mapping[str, Counts]:
        """All counts by `name@revision`."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(_table)).mappings().all()
        return {
            f"{row['name']}@{row['revision']}": Counts(
                **{key: value for key, value in row.items() if key not in ("name", "revision")}
            )
            for row in rows
        }
