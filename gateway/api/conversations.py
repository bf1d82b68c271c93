"""`/v1/conversations`: what was asked and answered, kept for the key's tenant. OpenAI's resource, with a list and a search."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from gateway.api.bodies import Body, Bounded
from gateway.api.identity import Asker
from gateway.api.items import Message, listing, shown
from gateway.history.conversations import Conversations

Metadata = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=64)], Annotated[str, Field(max_length=512)]],
    Field(max_length=16),
]
Messages = Annotated[list[Message], Field(max_length=20)]
Limit = Annotated[int, Query(ge=1, le=100)]
After = Annotated[str | None, Query(max_length=64, description="The last id of the page before")]
Listed = dict[str, Any]

_UNTOUCHED = {"cache-control": "private, no-store", "x-content-type-options": "nosniff"}


class WithPictures(Bounded):
    """Pictures are more than words: four of them as the pages send them, and what is said beside."""

    most = 8 << 20


class CreateConversation(Body):
    """`metadata` has at most 16 keys; its `title` is what the pages list."""

    metadata: Metadata | None = None
    items: Messages | None = None


class UpdateConversation(Body):
    """`metadata` takes the place of all that there was."""

    metadata: Metadata


class CreateItems(Body):
    items: Annotated[Messages, Field(min_length=1)]


class Conversation(BaseModel):
    """A conversation. Times are Unix seconds; `updated_at` is ours."""

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int
    updated_at: int
    metadata: dict[str, str]


class Deleted(BaseModel):
    id: str
    object: Literal["conversation.deleted"] = "conversation.deleted"
    deleted: bool = True


def routes(conversations: Conversations) -> APIRouter:
    """The router."""
    router = APIRouter(prefix="/v1/conversations", tags=["conversations"], route_class=WithPictures)
    _add_conversations(router, conversations)
    _add_items(router, conversations)
    return router


def _add_conversations(router: APIRouter, conversations: Conversations) -> None:
    @router.post("")
    async def create_conversation(asker: Asker, body: CreateConversation | None = None) -> Conversation:
        """Begin a conversation, perhaps with its first items."""
        given = body or CreateConversation()
        first = [message.kept() for message in given.items or ()]
        made = await asyncio.to_thread(conversations.create, asker, given.metadata or {}, first)
        return _conversation(made)

    @router.get("")
    async def list_conversations(
        asker: Asker,
        limit: Limit = 20,
        after: After = None,
        query: Annotated[
            str, Query(max_length=256, description="Words of the title or of what was said")
        ] = "",
    ) -> Listed:
        """The tenant's conversations, the last used first."""
        page = await asyncio.to_thread(conversations.list, asker, limit, after, query)
        return listing([_conversation(row).model_dump() for row in page.rows], page.more)

    @router.get("/{conversation_id}")
    async def get_conversation(conversation_id: str, asker: Asker) -> Conversation:
        """One conversation, without its items."""
        return _conversation(await asyncio.to_thread(conversations.get, asker, conversation_id))

    @router.post("/{conversation_id}")
    async def update_conversation(
        conversation_id: str, body: UpdateConversation, asker: Asker
    ) -> Conversation:
        """Give it other metadata."""
        changed = await asyncio.to_thread(conversations.update, asker, conversation_id, body.metadata)
        return _conversation(changed)

    @router.delete("/{conversation_id}")
    async def delete_conversation(conversation_id: str, asker: Asker) -> Deleted:
        """Delete it with all that was said and judged in it."""
        await asyncio.to_thread(conversations.delete, asker, conversation_id)
        return Deleted(id=conversation_id)


def _add_items(router: APIRouter, conversations: Conversations) -> None:
    @router.get("/{conversation_id}/items")
    async def list_items(
        conversation_id: str,
        asker: Asker,
        limit: Limit = 20,
        after: After = None,
        order: Literal["asc", "desc"] = "desc",
    ) -> Listed:
        """What was said, the latest first unless `order` is `asc`."""
        page = await asyncio.to_thread(
            lambda: conversations.items(asker, conversation_id, limit, after, oldest_first=order == "asc")
        )
        return listing([shown(row) for row in page.rows], page.more)

    @router.post("/{conversation_id}/items")
    async def create_items(conversation_id: str, body: CreateItems, asker: Asker) -> Listed:
        """Append up to 20 items."""
        fresh = [message.kept() for message in body.items]
        rows = await asyncio.to_thread(conversations.add, asker, conversation_id, fresh)
        return listing([shown(row) for row in rows], False)

    @router.get("/{conversation_id}/items/{item_id}")
    async def get_item(conversation_id: str, item_id: str, asker: Asker) -> dict[str, Any]:
        """One item."""
        return shown(await asyncio.to_thread(conversations.item, asker, conversation_id, item_id))

    @router.get("/{conversation_id}/items/{item_id}/images/{number}", response_class=Response)
    async def get_image(
        conversation_id: str, item_id: str, number: Annotated[int, Path(ge=1, le=64)], asker: Asker
    ) -> Response:
        """A picture in an item, from 1, as its bytes. OpenAI has no such call."""
        image = await asyncio.to_thread(conversations.image, asker, conversation_id, item_id, number)
        return Response(image.content, media_type=image.media_type, headers=_UNTOUCHED)

    @router.post("/{conversation_id}/items/{item_id}")
    async def replace_item(conversation_id: str, item_id: str, body: Message, asker: Asker) -> dict[str, Any]:
        """Put another message in its place, as an answer grows. OpenAI has no such call."""
        row = await asyncio.to_thread(conversations.replace, asker, conversation_id, item_id, body.kept())
        return shown(row)

    @router.delete("/{conversation_id}/items/{item_id}")
    async def delete_item(conversation_id: str, item_id: str, asker: Asker) -> Conversation:
        """Take one item out; the answer is the conversation, as OpenAI's is."""
        return _conversation(await asyncio.to_thread(conversations.remove, asker, conversation_id, item_id))


def _conversation(row: Mapping[str, Any]) -> Conversation:
    return Conversation(
        id=row["id"],
        created_at=int(row["created_at"]),
        updated_at=int(row["updated_at"]),
        metadata=row["metadata"],
    )
