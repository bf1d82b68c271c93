"""How well each revision did on data sets, as whoever measured it told: in the state database, for `praxis adapters list`."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from gateway.adapters.desired import identity
from praxis.state import migrate, writing

_table = sa.Table(
    "adapter_score",
    sa.MetaData(),
    sa.Column("id", sa.String(32), primary_key=True),  # sorts by time
    sa.Column("name", sa.String(128), nullable=False, index=True),
    sa.Column("revision", sa.String(12), nullable=False),
    sa.Column("dataset", sa.String(256), nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("answered", sa.BigInteger, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("who", sa.String(128), nullable=False),
)


def _create(connection: Connection) -> None:
    _table.create(connection)


STEPS = [_create]


@dataclass(frozen=True, slots=True)
class Score:
    """What a revision reached on a data set: of `rows` asked so many `answered`, and by metric a mean over these with the
    ends of its interval (None where nobody told them). Who measured it, and when (Unix seconds)."""

    dataset: str
    rows: int
    answered: int
    metrics: Mapping[str, Mapping[str, float | None]]
    at: float
    who: str


class Scores:
    """The table `adapter_score`. All that was told stays; what is shown is the last of each data set."""

    def __init__(self, engine: Engine) -> None:
        migrate(engine, "adapter_scores", STEPS)
        self._engine = engine

    def add(self, name: str, revision: str, score: Score) -> None:
        """Keep `score` with the revision."""
        row = asdict(score) | {"id": identity(time.time()), "name": name, "revision": revision}
        with writing(self._engine).begin() as connection:
            connection.execute(sa.insert(_table).values(row))

    def last(self) -> Mapping[str, Sequence[Score]]:
        """The last score of each data set by `name@revision`, the latest first."""
        newest = (
            sa.select(sa.func.max(_table.c.id)).group_by(_table.c.name, _table.c.revision, _table.c.dataset)
        ).scalar_subquery()
        wanted = sa.select(_table).where(_table.c.id.in_(newest)).order_by(_table.c.id.desc())
        found: defaultdict[str, list[Score]] = defaultdict(list)
        with self._engine.connect() as connection:
            for row in connection.execute(wanted).mappings():
                told: dict[str, Any] = dict(row)
                del told["id"]
                found[f"{told.pop('name')}@{told.pop('revision')}"].append(Score(**told))
        return found
