"""API keys: made, verified, listed, changed, rotated and revoked. Only hashes of secrets are ever stored.

A key is who asks: its id, name, tenant and limits stay when its secret is rotated, and with them everything that is
counted or owned by either.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from praxis import audit
from praxis.audit import Actor, Line, note
from praxis.errors import Conflict, InvalidRequest, NotFound
from praxis.state import Step, migrate, writing

Role = Literal["admin", "user", "internal"]

OPERATOR = "operator"
"""The tenant that owns the knowledge bases which models.yaml names; admin keys belong to it by default."""

ITSELF = Actor(OPERATOR)
"""Praxis, where it does by itself what else an operator does."""


def at_terminal() -> Actor:
    """Whoever runs the command, by the account of the operating system."""
    try:
        account = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        account = str(os.getuid())
    return Actor(OPERATOR, f"terminal:{account}")


_PREFIX = "sk-praxis-"
_LAST_SECOND = 253_402_300_799
"""The end of the year 9999, beyond which no calendar of ours goes."""


def _columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("models", sa.JSON),
        sa.Column("knowledge", sa.JSON),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float),
        sa.Column("revoked_at", sa.Float),
    ]


_released = sa.Table("api_key", sa.MetaData(), *_columns())
"""The table as the first step made it."""

_table = sa.Table(
    "api_key",
    sa.MetaData(),
    *_columns(),
    sa.Column("rpm", sa.BigInteger),
    sa.Column("tpm", sa.BigInteger),
    sa.Column("concurrency", sa.BigInteger),
    sa.Column("rotated_at", sa.Float),
)

_former = sa.Table(
    "api_key_former",
    sa.MetaData(),
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("key_id", sa.String(32), nullable=False),
    sa.Column("until", sa.Float, nullable=False),
)
"""Secrets that were rotated away and still work for a while."""


def _create(connection: Connection) -> None:
    _released.create(connection)


def _limit_and_rotate(connection: Connection) -> None:
    for column in ("rpm BIGINT", "tpm BIGINT", "concurrency BIGINT", "rotated_at FLOAT"):
        connection.execute(sa.text(f"ALTER TABLE api_key ADD COLUMN {column}"))
    connection.execute(
        sa.text(
            "CREATE TABLE api_key_former (hash VARCHAR(64) NOT NULL PRIMARY KEY,"
            " key_id VARCHAR(32) NOT NULL REFERENCES api_key (id), until FLOAT NOT NULL)"
        )
    )


STEPS: Sequence[Step] = (_create, _limit_and_rotate)


@dataclass(frozen=True, slots=True)
class Quota:
    """What a key may use at most: requests and tokens per minute, and requests at the same time. None is no limit."""

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None

    def given(self) -> dict[str, int]:
        """The limits that there are, by name."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


UNLIMITED = Quota()


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: one key, its tenant, and what it may use (`None` means everything). Times are Unix seconds.

    `asked`, where the document process acts for a key, is the model that the key asked for.
    """

    key_id: str
    name: str
    tenant: str
    role: Role
    models: frozenset[str] | None = None
    knowledge: frozenset[str] | None = None
    expires_at: float | None = None
    quota: Quota | None = None
    asked: str = ""

    def may_use(self, model: str) -> bool:
        return self.models is None or model in self.models

    @property
    def admin(self) -> bool:
        return self.role == "admin"

    @property
    def actor(self) -> Actor:
        """Who the audit trail says it was."""
        return Actor(self.tenant, self.key_id)


def hash_secret(secret: str) -> str:
    """SHA-256 in hex. The secret carries 192 random bits, so a slow password hash would add nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()


def key_names() -> sa.Subquery:
    """Every key's `id` and `name`, to be joined by what is counted per key."""
    return sa.select(_table.c.id, _table.c.name).subquery()


class Keys:
    """The keys in the state database. Whoever changes one says who does it (`by`), for the audit trail."""

    def __init__(self, engine: Engine) -> None:
        migrate(engine, "keys", STEPS)
        audit.prepare(engine)
        self._engine = engine

    def create(
        self,
        name: str,
        *,
        admin: bool = False,
        tenant: str | None = None,
        models: Iterable[str] | None = None,
        knowledge: Iterable[str] | None = None,
        expires_at: float | None = None,
        quota: Quota = UNLIMITED,
        by: Actor = ITSELF,
    ) -> tuple[Principal, str]:
        """Make a key and return it with its secret, which cannot be read again.

        Raises InvalidRequest when the name is empty or the expiry has passed, Conflict when a key of that name
        exists that is not revoked.
        """
        for field, value in (("name", name), ("tenant", tenant)):
            if value is not None and (not value.strip() or len(value) > 128):
                raise InvalidRequest(f"A key needs a `{field}` of 1 to 128 characters.", param=field)
        _must_come(expires_at)
        _must_limit(quota)
        secret = _new_secret()
        principal = Principal(
            key_id="key_" + secrets.token_hex(8),
            name=name,
            tenant=tenant or (OPERATOR if admin else name),
            role="admin" if admin else "user",
            models=None if models is None else frozenset(models),
            knowledge=None if knowledge is None else frozenset(knowledge),
            expires_at=expires_at,
            quota=quota if quota.given() else None,
        )
        with writing(self._engine).begin() as connection:
            live = sa.select(_table.c.id).where(_table.c.name == name, _table.c.revoked_at.is_(None))
            if connection.execute(live).first():
                raise Conflict(
                    f"A key named `{name}` exists; choose another name or revoke it.", param="name"
                )
            connection.execute(sa.insert(_table).values(hash=hash_secret(secret), **_values(principal)))
            note(connection, by, Line("key.create", principal.key_id, detail=principal.tenant))
        return principal, secret

    def live(self) -> Mapping[str, Principal]:
        """Every key that is neither revoked nor expired, by the hash of each secret that it answers to."""
        now = time.time()
        usable = sa.and_(
            _table.c.revoked_at.is_(None), sa.or_(_table.c.expires_at.is_(None), _table.c.expires_at > now)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(_table).where(usable)).all()
            former = connection.execute(sa.select(_former).where(_former.c.until > now)).all()
        current = {row.hash: _principal(row) for row in rows}
        by_id = {principal.key_id: principal for principal in current.values()}
        return current | {
            row.hash: _ending(by_id[row.key_id], row.until) for row in former if row.key_id in by_id
        }

    def authenticate(self, secret: str) -> Principal | None:
        """The principal of a live key, else None. Only the secret's hash is ever compared."""
        return self.live().get(hash_secret(secret))

    def list(self) -> Sequence[Mapping[str, Any]]:
        """Every key, oldest first, without anything that could be used as one.

        `old_secret_until` is when the last of its former secrets stops working, where one still works.
        """
        now = time.time()
        until = sa.select(sa.func.max(_former.c.until)).where(
            _former.c.key_id == _table.c.id, _former.c.until > now, _table.c.revoked_at.is_(None)
        )
        columns = [column for column in _table.c if column.name != "hash"]
        query = sa.select(*columns, until.scalar_subquery().label("old_secret_until"))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(_table.c.created_at, _table.c.id)).mappings()
            return [dict(row) for row in rows]

    def get(self, name_or_id: str) -> Mapping[str, Any]:
        """One key as `list` shows it: the one not revoked, or else the latest. Raises NotFound."""
        found = [each for each in self.list() if name_or_id in (each["id"], each["name"])]
        if not found:
            raise NotFound(f"No key is named `{name_or_id}`; `praxis keys list` shows them.")
        return next((each for each in found if each["revoked_at"] is None), found[-1])

    def update(self, name_or_id: str, changes: Mapping[str, Any], by: Actor = ITSELF) -> str:
        """Change limits (`rpm`, `tpm`, `concurrency`), `models`, `knowledge` or `expires_at` and return the key's id.

        What `changes` leaves out stays; None takes a limit away. Raises NotFound and InvalidRequest.
        """
        _must_come(changes.get("expires_at"))
        _must_limit(Quota(**{each.name: changes.get(each.name) for each in fields(Quota)}))
        values = {
            name: sorted(value) if name in ("models", "knowledge") and value is not None else value
            for name, value in changes.items()
        }
        with writing(self._engine).begin() as connection:
            key_id = self._not_revoked(connection, name_or_id).id
            if values:
                connection.execute(sa.update(_table).where(_table.c.id == key_id).values(values))
                note(connection, by, Line("key.change", key_id))
            return str(key_id)

    def rotate(self, name_or_id: str, overlap: float = 0.0, by: Actor = ITSELF) -> tuple[str, str]:
        """Give a key another secret and return its id and that secret, which cannot be read again.

        The old secret, and any older one, works for at most `overlap` seconds more. Raises NotFound, and Conflict
        when the key has expired: another secret would not help.
        """
        if not 0 <= overlap <= _LAST_SECOND:
            raise InvalidRequest("`overlap` must be a number of seconds, 0 or more.", param="overlap")
        secret, now = _new_secret(), time.time()
        with writing(self._engine).begin() as connection:
            row = self._not_revoked(connection, name_or_id)
            if row.expires_at is not None and row.expires_at <= now:
                raise Conflict(
                    f"The key `{row.name}` has expired; give it more time first: `praxis keys update NAME --expires 90d`."
                )
            own = _former.c.key_id == row.id
            connection.execute(sa.delete(_former).where(_former.c.until <= now))
            if overlap:
                limit = sa.case((_former.c.until > now + overlap, now + overlap), else_=_former.c.until)
                connection.execute(sa.update(_former).where(own).values(until=limit))
                connection.execute(
                    sa.insert(_former).values(hash=row.hash, key_id=row.id, until=now + overlap)
                )
            else:
                connection.execute(sa.delete(_former).where(own))
            connection.execute(
                sa.update(_table)
                .where(_table.c.id == row.id)
                .values(hash=hash_secret(secret), rotated_at=now)
            )
            note(connection, by, Line("key.rotate", row.id))
            return str(row.id), secret

    def revoke(self, name_or_id: str, by: Actor = ITSELF) -> str:
        """Revoke the live key of that name or id, with every secret it has, and return its id. Raises NotFound."""
        with writing(self._engine).begin() as connection:
            row = self._not_revoked(connection, name_or_id)
            connection.execute(sa.delete(_former).where(_former.c.key_id == row.id))
            connection.execute(sa.update(_table).where(_table.c.id == row.id).values(revoked_at=time.time()))
            note(connection, by, Line("key.revoke", row.id))
            return str(row.id)

    def _not_revoked(self, connection: Connection, name_or_id: str) -> sa.Row[Any]:
        match = sa.or_(_table.c.id == name_or_id, _table.c.name == name_or_id)
        # Two rotations at once would each keep the same old secret: the second waits for the first.
        query = sa.select(_table).where(match, _table.c.revoked_at.is_(None)).with_for_update()
        row = connection.execute(query).first()
        if row is None:
            raise NotFound(f"No live key is named `{name_or_id}`; `praxis keys list` shows them.")
        return row


def _new_secret() -> str:
    return _PREFIX + secrets.token_urlsafe(24)


def _must_come(expires_at: float | None) -> None:
    if expires_at is not None and not time.time() < expires_at <= _LAST_SECOND:
        raise InvalidRequest(
            "`expires_at` has passed or is no time; give Unix seconds in the future.", param="expires_at"
        )


def _must_limit(quota: Quota) -> None:
    for name, value in quota.given().items():
        if not 1 <= value < 2**53:
            raise InvalidRequest(
                f"`{name}` must be a whole number from 1 on; leave it out for no limit.", param=name
            )


def _ending(principal: Principal, until: float) -> Principal:
    """The same key by a former secret, which ends at `until` or with the key itself."""
    ends = until if principal.expires_at is None else min(until, principal.expires_at)
    return replace(principal, expires_at=ends)


def _values(principal: Principal) -> dict[str, Any]:
    return {
        "id": principal.key_id,
        "name": principal.name,
        "tenant": principal.tenant,
        "role": principal.role,
        "models": None if principal.models is None else sorted(principal.models),
        "knowledge": None if principal.knowledge is None else sorted(principal.knowledge),
        "created_at": time.time(),
        "expires_at": principal.expires_at,
        **(principal.quota or UNLIMITED).given(),
    }


def _principal(row: sa.Row[Any]) -> Principal:
    quota = Quota(row.rpm, row.tpm, row.concurrency)
    return Principal(
        key_id=row.id,
        name=row.name,
        tenant=row.tenant,
        role=row.role,
        models=None if row.models is None else frozenset(row.models),
        knowledge=None if row.knowledge is None else frozenset(row.knowledge),
        expires_at=row.expires_at,
        quota=quota if quota.given() else None,
    )
