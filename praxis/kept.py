"""What each room keeps for good, as it says itself by the entry point `praxis.kept`: `praxis backup` asks for nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points

import sqlalchemy as sa
from sqlalchemy import Connection

from praxis import audit, keys, usage
from praxis.config import Config
from praxis.state import Step
from praxis.up import first_start


@dataclass(frozen=True, slots=True)
class Folder:
    """Files that the database names: they lie in `path` below the home, and `column` of `table` holds their names.

    A file must be there before its row is and until its row is gone, and its bytes never change. `elsewhere` says of a
    configuration where the files lie in place of that, if they do.
    """

    path: str
    table: str
    column: str
    elsewhere: Callable[[Config], str | None] = lambda _: None

    def names(self, connection: Connection) -> set[str]:
        """The files that the database of `connection` names."""
        if not sa.inspect(connection).has_table(self.table):
            return set()
        column: sa.ColumnClause[str] = sa.column(self.column)
        return set(connection.execute(sa.select(column).select_from(sa.table(self.table))).scalars())


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept: tables by the steps that make them, per name in `schema_version`; folders of files; and `caches`,
    folders below the home that are made again from the rest."""

    schemas: Mapping[str, Sequence[Step]]
    folders: Sequence[Folder] = field(default_factory=tuple)
    caches: Sequence[str] = field(default_factory=tuple)

    def at_home(self, config: Config) -> Kept:
        """The same without the folders whose files lie elsewhere."""
        here = [each for each in self.folders if each.elsewhere(config) is None]
        return replace(self, folders=here)


def everything() -> Kept:
    """What the kernel and all rooms keep."""
    found = [
        Kept(
            {
                "audit": audit.STEPS,
                "keys": keys.STEPS,
                "usage": usage.STEPS,
                "samples": first_start.STEPS,
            }
        ),
        *(each.load() for each in sorted(entry_points(group="praxis.kept"), key=lambda each: each.name)),
    ]
    return Kept(
        {name: steps for each in found for name, steps in each.schemas.items()},
        [folder for each in found for folder in each.folders],
        [cache for each in found for cache in each.caches],
    )
