"""The tables of conversations, their items with the pictures in them, and the votes on them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from praxis.state import Step

_METADATA = sa.MetaData()


def _of_conversation() -> sa.Column[str]:
    return sa.Column(
        "conversation_id",
        sa.String(64),
        sa.ForeignKey("conversation.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    )


conversations = sa.Table(
    "conversation",
    _METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("tenant", sa.String(128), nullable=False),
    sa.Column("key_id", sa.String(32), nullable=False),  # who began it
    sa.Column("metadata", sa.JSON, nullable=False),
    sa.Column("words", sa.Text, nullable=False),  # what a search looks at
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("updated_at", sa.Float, nullable=False),
    sa.Index("conversation_recent", "tenant", "updated_at"),
)

items = sa.Table(
    "conversation_item",
    _METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    _of_conversation(),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("words", sa.Text, nullable=False),
    sa.UniqueConstraint("conversation_id", "position"),
)

images = sa.Table(
    "conversation_image",
    _METADATA,
    sa.Column(
        "item_id",
        sa.String(64),
        sa.ForeignKey("conversation_item.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column(
        "number", sa.Integer, primary_key=True, autoincrement=False
    ),  # from 1, as they stand in the item
    sa.Column("media_type", sa.String(32), nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)

votes = sa.Table(
    "vote",
    _METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    _of_conversation(),
    sa.Column(
        "question_id",
        sa.String(64),
        sa.ForeignKey("conversation_item.id", ondelete="CASCADE"),
        nullable=False,
    ),
    sa.Column("tenant", sa.String(128), nullable=False, index=True),
    sa.Column("key_id", sa.String(32), nullable=False),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("a", sa.JSON, nullable=False),
    sa.Column("b", sa.JSON, nullable=False),
    sa.Column("tags", sa.JSON, nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("blind", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.UniqueConstraint("question_id", "key_id"),
)


def _keep_conversations(connection: Connection) -> None:
    _METADATA.create_all(connection, [conversations, items])


def _keep_votes(connection: Connection) -> None:
    votes.create(connection)


def _find_the_oldest(connection: Connection) -> None:
    for statement in ("conversation_age on conversation (updated_at)", "vote_age on vote (created_at)"):
        connection.execute(sa.text(f"create index {statement}"))


def _keep_images(connection: Connection) -> None:
    images.create(connection)


STEPS: Sequence[Step] = (_keep_conversations, _keep_votes, _find_the_oldest, _keep_images)


def identity(kind: str) -> str:
    """A new id, such as `conv_…`, that nobody can guess."""
    return f"{kind}_{secrets.token_hex(16)}"


def searchable(text: str) -> str:
    """`text` as a database holds it: PostgreSQL takes no NUL."""
    return text.replace("\0", "")
