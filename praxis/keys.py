"""API keys: made, verified, listed and revoked. Only a key's hash is ever stored."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from praxis.errors import Conflict, InvalidRequest, NotFound
from praxis.state import migrate, writing

Role = Literal["admin", "user", "internal"]

OPERATOR = "operator"
"""The tenant that owns the knowledge bases which models.yaml names; admin keys belong to it by default."""

_PREFIX = "sk-praxis-"

_table = sa.Table(
    "api_key",
    sa.MetaData(),
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
)


def _create(connection: Connection) -> None:
    _table.create(connection)


_STEPS = [_create]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: one key, its tenant, and what it may use (`None` means everything). Times are Unix seconds."""

    key_id: str
    name: str
    tenant: str
    role: Role
    models: frozenset[str] | None = None
    knowledge: frozenset[str] | None = None
    expires_at: float | None = None

    def may_use(self, model: str) -> bool:
        return self.models is None or model in self.models

    @property
    def admin(self) -> bool:
        return self.role == "admin"


def hash_secret(secret: str) -> str:
    """SHA-256 in hex. The secret carries 192 random bits, so a slow password hash would add nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Keys:
    """The keys in the state database."""

    def __init__(self, engine: Engine) -> None:
        migrate(engine, "keys", _STEPS)
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
    ) -> tuple[Principal, str]:
        """Make a key and return it with its secret, which cannot be read again.

        Raises InvalidRequest when the name is empty or the expiry has passed, Conflict when a live key of
        that name exists.
        """
        if not name.strip() or len(name) > 128:
            raise InvalidRequest("A key needs a `name` of 1 to 128 characters.", param="name")
        if expires_at is not None and expires_at <= time.time():
            raise InvalidRequest("`expires_at` has passed; give a time in the future.", param="expires_at")
        secret = _PREFIX + secrets.token_urlsafe(24)
        principal = Principal(
            key_id="key_" + secrets.token_hex(8),
            name=name,
            tenant=tenant or (OPERATOR if admin else name),
            role="admin" if admin else "user",
            models=None if models is None else frozenset(models),
            knowledge=None if knowledge is None else frozenset(knowledge),
            expires_at=expires_at,
        )
        with writing(self._engine).begin() as connection:
            live = sa.select(_table.c.id).where(_table.c.name == name, _table.c.revoked_at.is_(None))
            if connection.execute(live).first():
                raise Conflict(
                    f"A key named `{name}` exists; choose another name or revoke it.", param="name"
                )
            connection.execute(sa.insert(_table).values(hash=hash_secret(secret), **_columns(principal)))
        return principal, secret

    def live(self) -> Mapping[str, Principal]:
        """Every key that is neither revoked nor expired, by the hash of its secret."""
        now = time.time()
        usable = sa.and_(
            _table.c.revoked_at.is_(None), sa.or_(_table.c.expires_at.is_(None), _table.c.expires_at > now)
        )
        with self._engine.connect() as connection:
            return {row.hash: _principal(row) for row in connection.execute(sa.select(_table).where(usable))}

    def authenticate(self, secret: str) -> Principal | None:
        """The principal of a live key, else None. Only the secret's hash is ever compared."""
        return self.live().get(hash_secret(secret))

    def list(self) -> Sequence[Mapping[str, Any]]:
        """Every key, oldest first, without anything that could be used as one."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(_table).order_by(_table.c.created_at))
            return [{key: value for key, value in row._mapping.items() if key != "hash"} for row in rows]

    def revoke(self, name_or_id: str) -> str:
        """Revoke the live key of that name or id and return its id. Raises NotFound."""
        match = sa.or_(_table.c.id == name_or_id, _table.c.name == name_or_id)
        with writing(self._engine).begin() as connection:
            row = connection.execute(
                sa.select(_table.c.id).where(match, _table.c.revoked_at.is_(None))
            ).first()
            if row is None:
                raise NotFound(f"No live key is named `{name_or_id}`; `praxis keys list` shows them.")
            connection.execute(sa.update(_table).where(_table.c.id == row.id).values(revoked_at=time.time()))
            return str(row.id)


def _columns(principal: Principal) -> dict[str, Any]:
    return {
        "id": principal.key_id,
        "name": principal.name,
        "tenant": principal.tenant,
        "role": principal.role,
        "models": None if principal.models is None else sorted(principal.models),
        "knowledge": None if principal.knowledge is None else sorted(principal.knowledge),
        "created_at": time.time(),
        "expires_at": principal.expires_at,
    }


def _principal(row: sa.Row[Any]) -> Principal:
    return Principal(
        key_id=row.id,
        name=row.name,
        tenant=row.tenant,
        role=row.role,
        models=None if row.models is None else frozenset(row.models),
        knowledge=None if row.knowledge is None else frozenset(row.knowledge),
        expires_at=row.expires_at,
    )
