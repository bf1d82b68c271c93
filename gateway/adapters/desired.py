"""Which adapters should be live, at which revision and for what share of requests, as the state database says, and
the history of every change. What models.yaml names goes through here too."""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from praxis import audit
from praxis.audit import Actor, Line, note
from praxis.keys import ITSELF
from praxis.state import migrate, writing

By = Literal["request", "key"]
"""What decides between a canary and the current revision: the session, else chance for each request; or the key."""

Action = Literal["load", "promote", "canary", "rollback", "unload"]

FILE = "models.yaml"
"""Who changes what the file names."""

_first = sa.Table(
    "adapter",
    sa.MetaData(),
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("base", sa.String(128), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("revision", sa.String(12), nullable=False),
    sa.Column("created_by", sa.String(128), nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
)

_metadata = sa.MetaData()

_adapters = sa.Table(
    "adapter",
    _metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("base", sa.String(128), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("revision", sa.String(12), nullable=False),
    sa.Column("created_by", sa.String(128), nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("canary", sa.String(12)),
    sa.Column("share", sa.Float, nullable=False, server_default="0"),
    sa.Column("split_by", sa.String(8), nullable=False, server_default="request"),
    sa.Column("filed", sa.String(12)),  # the revision that models.yaml last asked for
)

_revisions = sa.Table(
    "adapter_revision",
    _metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("revision", sa.String(12), primary_key=True),
    sa.Column("base", sa.String(128), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("created_by", sa.String(128), nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("held", sa.Boolean, nullable=False),
    sa.Column("backend", sa.String(128)),
)

_history = sa.Table(
    "adapter_change",
    _metadata,
    sa.Column("id", sa.String(32), primary_key=True),  # sorts by time
    sa.Column("name", sa.String(128), nullable=False, index=True),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("revision", sa.String(12), nullable=False),
    sa.Column("before", sa.String(12)),  # what the name answered with until then
    sa.Column("after", sa.String(12)),  # and from then on
    sa.Column("share", sa.Float),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("who", sa.String(128), nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
)


def _create(connection: Connection) -> None:
    _first.create(connection)


def _keep_revisions(connection: Connection) -> None:
    for added in ("canary varchar(12)", "share float not null default 0",
                  "split_by varchar(8) not null default 'request'", "filed varchar(12)"):  # fmt: skip
        connection.execute(sa.text(f"alter table adapter add column {added}"))
    _revisions.create(connection)
    _history.create(connection)
    for row in connection.execute(sa.select(_first)).mappings().all():
        known = dict(row)
        connection.execute(sa.insert(_revisions).values(**known, why="", origin="", held=True))
        connection.execute(
            sa.insert(_history).values(
                id=identity(row["created_at"]),
                name=row["name"],
                action="load",
                revision=row["revision"],
                before=None,
                after=row["revision"],
                share=None,
                source=row["source"],
                who=row["created_by"],
                at=row["created_at"],
                why="",
                origin="",
            )
        )


def _name_backends(connection: Connection) -> None:
    # A database that is new has it from the step before.
    columns = {each["name"] for each in sa.inspect(connection).get_columns("adapter_revision")}
    if "backend" not in columns:
        connection.execute(sa.text("alter table adapter_revision add column backend varchar(128)"))


STEPS = [_create, _keep_revisions, _name_backends]


@dataclass(frozen=True, slots=True)
class Revision:
    """One content of an adapter: which model it extends, the folder it came from, who brought it, when (Unix seconds), why
    and from where. While it is `held`, engines should have it.

    One with a `backend` is merged: a model of its own that this backend serves. Others are loaded beside their base."""

    name: str
    revision: str
    base: str
    source: str
    created_by: str
    created_at: float
    why: str = ""
    origin: str = ""
    held: bool = True
    backend: str | None = None

    @property
    def place(self) -> tuple[str, str, str | None]:
        """What it extends, where it lies and what serves it."""
        return self.base, self.source, self.backend

    @property
    def upstream(self) -> str:
        """The name that engines see. It changes with the content, so new weights never meet an old prefix cache."""
        return f"{self.name}@{self.revision}"


@dataclass(frozen=True, slots=True)
class Desired:
    """An adapter that should be live: what its name answers with, and the `share` (0 to 1) of requests that a `canary`
    gets. `base`, `source` and `created_*` are of the current revision."""

    name: str
    base: str
    source: str
    revision: str
    created_by: str
    created_at: float
    canary: str | None = None
    share: float = 0.0
    split_by: By = "request"
    filed: str | None = None

    def answering(self, revision: Revision) -> Desired:
        """The same with `revision` in front of users, and no canary beside it."""
        return replace(
            self, base=revision.base, source=revision.source, revision=revision.revision,
            created_by=revision.created_by, created_at=revision.created_at, canary=None, share=0.0,
        )  # fmt: skip


def first_of(revision: Revision) -> Desired:
    """The adapter of which `revision` is the first."""
    return Desired(
        revision.name,
        revision.base,
        revision.source,
        revision.revision,
        revision.created_by,
        revision.created_at,
    )


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes a change, why, and from where; `actor` is who the audit trail says it was."""

    who: str
    why: str = ""
    origin: str = ""
    actor: Actor = ITSELF


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the history. `before` and `after` are what the name answered with, None where it did not."""

    id: str
    name: str
    action: Action
    revision: str
    before: str | None
    after: str | None
    share: float | None
    source: str
    who: str
    at: float
    why: str
    origin: str


@dataclass(frozen=True, slots=True)
class State:
    """All that should be, at one moment: the adapters by name, and every revision that is known of them."""

    adapters: Sequence[Desired] = ()
    revisions: Sequence[Revision] = ()


class DesiredAdapters:
    """The tables `adapter`, `adapter_revision` and `adapter_change`."""

    def __init__(self, engine: Engine) -> None:
        migrate(engine, "adapters", STEPS)
        audit.prepare(engine)
        self._engine = engine

    def all(self) -> Sequence[Desired]:
        return self.read().adapters

    def read(self) -> State:
        with self._engine.begin() as connection:
            adapters = connection.execute(sa.select(_adapters).order_by(_adapters.c.name)).all()
            revisions = connection.execute(
                sa.select(_revisions).order_by(_revisions.c.name, _revisions.c.created_at)
            ).all()
        return State(
            [Desired(**row._mapping) for row in adapters], [Revision(**row._mapping) for row in revisions]
        )

    def history(self, name: str) -> Sequence[Change]:
        """Every change of `name`, first to last."""
        mine = sa.select(_history).where(_history.c.name == name).order_by(_history.c.id)
        with self._engine.connect() as connection:
            return [Change(**row._mapping) for row in connection.execute(mine)]

    def change(
        self,
        action: Action,
        revision: Revision,
        author: Author,
        *,
        before: Desired | None,
        after: Desired | None,
        keep: Collection[str] | None = None,
    ) -> None:
        """Make the name what `after` says (None: it answers no more) and write that down, in one transaction.

        `revision` is what the change is about, and is held from now on; but with `keep`, of all revisions of that name
        exactly these are held.
        """
        mine = _revisions.c.name == revision.name
        with writing(self._engine).begin() as connection:
            connection.execute(sa.delete(_adapters).where(_adapters.c.name == revision.name))
            if after is not None:
                connection.execute(sa.insert(_adapters).values(**asdict(after)))
            this = sa.and_(mine, _revisions.c.revision == revision.revision)
            connection.execute(sa.delete(_revisions).where(this))
            connection.execute(sa.insert(_revisions).values(**asdict(replace(revision, held=True))))
            if keep is not None:
                held = _revisions.c.revision.in_(list(keep))
                connection.execute(sa.update(_revisions).where(mine).values(held=held))
            at = time.time()
            connection.execute(
                sa.insert(_history).values(
                    id=identity(at),
                    name=revision.name,
                    action=action,
                    revision=revision.revision,
                    before=before and before.revision,
                    after=after and after.revision,
                    share=after.share if after is not None and action == "canary" else None,
                    source=revision.source,
                    who=author.who,
                    at=at,
                    why=author.why,
                    origin=author.origin,
                )
            )
            note(connection, author.actor, Line(f"adapter.{action}", revision.name, revision.revision))


def identity(at: float) -> str:
    """A new row's key, which sorts by the time `at` (Unix seconds)."""
    return f"{int(at * 1e9):016x}{secrets.token_hex(8)}"


def earlier(history: Sequence[Change]) -> str | None:
    """The revision that the name answered with before the one that it answers with now; going back is undoing, so that
    going back twice goes back by two."""
    stack: list[str] = []
    for change in history:
        if change.after is None:
            stack.clear()
        elif change.action == "rollback" and len(stack) > 1 and change.after == stack[-2]:
            stack.pop()
        elif not stack or change.after != stack[-1]:
            stack.append(change.after)
    return stack[-2] if len(stack) > 1 else None


def described(change: Change) -> dict[str, Any]:
    """A change as operators read it."""
    return {name: value for name, value in asdict(change).items() if name != "id"}
