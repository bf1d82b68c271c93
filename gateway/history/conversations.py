"""Conversations and their items in the state database. Each belongs to a tenant, and no other ever sees it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from gateway.history.tables import STEPS, conversations, identity, images, items, searchable
from praxis import audit
from praxis.audit import ALL, Line, note
from praxis.errors import InvalidRequest, NotFound
from praxis.keys import Principal
from praxis.state import migrate, writing

MOST_ITEMS = 10_000
"""Items of one conversation."""

Metadata = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Image:
    """A picture's bytes, and what kind they are of (`image/png`)."""

    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Item:
    """What is to be kept: the `body` as it was sent but for its `images`, and the `words` by which it is found."""

    body: Mapping[str, Any]
    words: str
    images: Sequence[Image] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a longer list, and whether there are more after them."""

    rows: Sequence[Mapping[str, Any]]
    more: bool


class Conversations:
    """The tables `conversation`, `conversation_item` and `conversation_image`, as one tenant after the other sees them."""

    def __init__(self, engine: Engine) -> None:
        migrate(engine, "conversations", STEPS)
        audit.prepare(engine)
        self._engine = engine

    def create(self, owner: Principal, metadata: Metadata, first: Sequence[Item]) -> Mapping[str, Any]:
        """Begin a conversation with `first`."""
        now = time.time()
        made = identity("conv")
        row = {
            "id": made,
            "tenant": owner.tenant,
            "key_id": owner.key_id,
            "metadata": dict(metadata),
            "words": _words(metadata),
            "created_at": now,
            "updated_at": now,
        }
        with writing(self._engine).begin() as connection:
            connection.execute(sa.insert(conversations).values(row))
            _append(connection, made, first)
        return row

    def list(self, owner: Principal, limit: int, after: str | None, query: str) -> Page:
        """The tenant's conversations, the last used first; with `query` only those in which it stands.

        Raises NotFound where `after` is none of them.
        """
        columns = conversations.c
        wanted = sa.select(conversations).where(columns.tenant == owner.tenant)
        if query.strip():
            wanted = wanted.where(_holds(searchable(query.strip())))
        searching = bool(query.strip())
        with (writing(self._engine) if searching else self._engine).begin() as connection:
            if searching:
                note(connection, owner.actor, Line("conversation.search", ALL))
            if after is not None:
                last = owned_conversation(connection, owner, after)
                wanted = wanted.where(
                    sa.tuple_(columns.updated_at, columns.id) < sa.tuple_(last["updated_at"], last["id"])
                )
            wanted = wanted.order_by(columns.updated_at.desc(), columns.id.desc())
            return fetch(connection, wanted, limit)

    def get(self, owner: Principal, conversation: str) -> Mapping[str, Any]:
        """One conversation. Raises NotFound."""
        with self._engine.connect() as connection:
            return owned_conversation(connection, owner, conversation)

    def update(self, owner: Principal, conversation: str, metadata: Metadata) -> Mapping[str, Any]:
        """Put `metadata` in the place of what it had. Raises NotFound."""
        with writing(self._engine).begin() as connection:
            row = owned_conversation(connection, owner, conversation)
            changed = {"metadata": dict(metadata), "words": _words(metadata)}
            connection.execute(
                sa.update(conversations).where(conversations.c.id == conversation).values(changed)
            )
            return dict(row) | changed

    def delete(self, owner: Principal, conversation: str) -> None:
        """Delete it with all that was said and judged in it. Raises NotFound."""
        with writing(self._engine).begin() as connection:
            owned_conversation(connection, owner, conversation)
            connection.execute(sa.delete(conversations).where(conversations.c.id == conversation))
            note(connection, owner.actor, Line("conversation.delete", conversation))

    def items(
        self, owner: Principal, conversation: str, limit: int, after: str | None, *, oldest_first: bool
    ) -> Page:
        """What was said. Raises NotFound where there is no such conversation, or `after` is no item of it."""
        position = items.c.position
        wanted = sa.select(items).where(items.c.conversation_id == conversation)
        with writing(self._engine).begin() as connection:
            owned_conversation(connection, owner, conversation)
            note(connection, owner.actor, Line("conversation.read", conversation))
            if after is not None:
                last = owned_item(connection, conversation, after)["position"]
                wanted = wanted.where(position > last if oldest_first else position < last)
            wanted = wanted.order_by(position if oldest_first else position.desc())
            return fetch(connection, wanted, limit)

    def add(self, owner: Principal, conversation: str, fresh: Sequence[Item]) -> Sequence[Mapping[str, Any]]:
        """Append items. Raises NotFound, and InvalidRequest where the conversation is full."""
        with writing(self._engine).begin() as connection:
            owned_conversation(connection, owner, conversation, lock=True)
            _touch(connection, conversation)
            return _append(connection, conversation, fresh)

    def item(self, owner: Principal, conversation: str, item: str) -> Mapping[str, Any]:
        """One item. Raises NotFound."""
        with writing(self._engine).begin() as connection:
            owned_conversation(connection, owner, conversation)
            note(connection, owner.actor, Line("conversation.read", conversation, item))
            return owned_item(connection, conversation, item)

    def image(self, owner: Principal, conversation: str, item: str, number: int) -> Image:
        """The picture of that number, from 1, in an item. Raises NotFound."""
        with writing(self._engine).begin() as connection:
            owned_conversation(connection, owner, conversation)
            owned_item(connection, conversation, item)
            wanted = sa.select(images.c.media_type, images.c.content).where(
                images.c.item_id == item, images.c.number == number
            )
            row = connection.execute(wanted).first()
            if row is None:
                raise NotFound(f"`{item}` has no picture {number}; they are numbered from 1.", param="number")
            note(connection, owner.actor, Line("conversation.read", conversation, item))
            return Image(row.media_type, row.content)

    def replace(self, owner: Principal, conversation: str, item: str, by: Item) -> Mapping[str, Any]:
        """Put another item in the place of one, whose id it takes over. Raises NotFound."""
        with writing(self._engine).begin() as connection:
            owned_conversation(connection, owner, conversation, lock=True)
            row = owned_item(connection, conversation, item)
            changed = {"body": dict(by.body), "words": searchable(by.words)}
            connection.execute(sa.update(items).where(items.c.id == item).values(changed))
            connection.execute(sa.delete(images).where(images.c.item_id == item))
            _keep_images(connection, item, by)
            _touch(connection, conversation)
            return dict(row) | changed

    def remove(self, owner: Principal, conversation: str, item: str) -> Mapping[str, Any]:
        """Take one item out and return the conversation. Raises NotFound."""
        with writing(self._engine).begin() as connection:
            row = owned_conversation(connection, owner, conversation)
            owned_item(connection, conversation, item)
            connection.execute(sa.delete(items).where(items.c.id == item))
            note(connection, owner.actor, Line("conversation.delete", conversation, item))
            return row


def _holds(query: str) -> sa.ColumnElement[bool]:
    """Whether `query` stands in a conversation's metadata or in one of its items."""
    found = sa.select(items.c.conversation_id).where(items.c.words.icontains(query, autoescape=True))
    return sa.or_(conversations.c.words.icontains(query, autoescape=True), conversations.c.id.in_(found))


def owned_conversation(
    connection: Connection, owner: Principal, conversation: str, *, lock: bool = False
) -> Mapping[str, Any]:
    wanted = sa.select(conversations).where(
        conversations.c.id == conversation, conversations.c.tenant == owner.tenant
    )
    row = connection.execute(wanted.with_for_update() if lock else wanted).mappings().first()
    if row is None:
        raise NotFound(
            f"There is no conversation `{conversation}`; `GET /v1/conversations` lists yours.",
            param="conversation_id",
        )
    return dict(row)


def owned_item(connection: Connection, conversation: str, item: str) -> Mapping[str, Any]:
    wanted = sa.select(items).where(items.c.id == item, items.c.conversation_id == conversation)
    row = connection.execute(wanted).mappings().first()
    if row is None:
        raise NotFound(
            f"There is no item `{item}` in `{conversation}`; `GET /v1/conversations/{conversation}/items` lists them.",
            param="item_id",
        )
    return dict(row)


def _append(connection: Connection, conversation: str, fresh: Sequence[Item]) -> Sequence[Mapping[str, Any]]:
    mine = items.c.conversation_id == conversation
    count, last = connection.execute(
        sa.select(sa.func.count(), sa.func.max(items.c.position)).where(mine)
    ).one()
    if count + len(fresh) > MOST_ITEMS:
        raise InvalidRequest(
            f"A conversation holds {MOST_ITEMS:,} items at most; begin another one.", param="items"
        )
    rows: list[dict[str, Any]] = [
        {
            "id": identity("msg"),
            "conversation_id": conversation,
            "position": position,
            "body": dict(item.body),
            "words": searchable(item.words),
        }
        for position, item in enumerate(fresh, start=(last or 0) + 1)
    ]
    if rows:
        connection.execute(sa.insert(items), rows)
    for row, item in zip(rows, fresh, strict=True):
        _keep_images(connection, row["id"], item)
    return rows


def _keep_images(connection: Connection, item_id: str, item: Item) -> None:
    rows = [
        {"item_id": item_id, "number": number, "media_type": image.media_type, "content": image.content}
        for number, image in enumerate(item.images, start=1)
    ]
    if rows:
        connection.execute(sa.insert(images), rows)


def _touch(connection: Connection, conversation: str) -> None:
    connection.execute(
        sa.update(conversations).where(conversations.c.id == conversation).values(updated_at=time.time())
    )


def fetch(connection: Connection, wanted: sa.Select[Any], limit: int) -> Page:
    """The first `limit` of the rows."""
    rows = [dict(row) for row in connection.execute(wanted.limit(limit + 1)).mappings()]
    return Page(rows[:limit], len(rows) > limit)


def _words(metadata: Metadata) -> str:
    return searchable("\n".join(metadata.values()))
