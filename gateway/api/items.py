"""What a conversation's item may hold: OpenAI's messages, and beside their fields those that a comparison needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat

from gateway.api.bodies import Body
from gateway.history.conversations import Item

Word = Annotated[str, Field(max_length=256)]
Plain = bool | int | FiniteFloat | Annotated[str, Field(max_length=4096)] | list[Word] | None


class Part(Body):
    """A piece of a message. OpenAI's clients send `annotations` and `logprobs` back as they got them: only empty ones pass."""

    type: Literal["input_text", "output_text", "text"]
    text: str
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    logprobs: Annotated[list[Any], Field(max_length=0)] | None = None


class Run(Body):
    """A run of a document's text; it is `marked` where the answer quotes it."""

    text: str
    marked: bool = False


class Citation(Body):
    """A citation as a grounded answer carries it, with its `url` and an `excerpt` of the text around the quote."""

    marker: Annotated[int, Field(ge=1)]
    file_id: Word
    filename: Annotated[str, Field(max_length=1024)]
    quote: str
    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=0)]
    page: int | None = None
    law: Annotated[str, Field(max_length=1024)] | None = None
    article: Word | None = None
    version: Word | None = None
    score: FiniteFloat | None = None
    verified: bool = False
    note: Annotated[str, Field(max_length=1024)] | None = None
    url: Annotated[str, Field(max_length=4096)] | None = None
    excerpt: Annotated[list[Run], Field(max_length=64)] | None = None


class Unverified(Body):
    """An article that the answer names and the documents lack."""

    law: Annotated[str, Field(max_length=1024)] | None = None
    article: Word | None = None
    nearest: Word | None = None


class Failure(Body):
    """Why an answer is incomplete: an error's `type` and `message`."""

    type: Word
    message: Annotated[str, Field(max_length=4096)] = ""


class Message(Body):
    """One message. The fields from `question_id` on are ours and may be left out.

    `question_id` is the item that an answer answers, `side` the column that it stood in, `model` who answered;
    `figures` are numbers such as seconds and tokens, `settings` how it was asked.
    """

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    status: Literal["in_progress", "completed", "incomplete"] = "completed"
    content: str | Annotated[list[Part], Field(max_length=64)]
    question_id: Word | None = None
    side: Word | None = None
    model: Word | None = None
    settings: Annotated[dict[Word, Plain], Field(max_length=64)] | None = None
    figures: Annotated[dict[Word, FiniteFloat], Field(max_length=64)] | None = None
    thinking: str | None = None
    finish_reason: Word | None = None
    error: Failure | None = None
    citations: Annotated[list[Citation], Field(max_length=256)] | None = None
    unverified: Annotated[list[Unverified], Field(max_length=256)] | None = None

    def kept(self) -> Item:
        """As the state database keeps it."""
        parts = self.content if isinstance(self.content, list) else [Part(type=self._kind, text=self.content)]
        whole = self.model_dump(mode="json", exclude_none=True)
        whole["content"] = [_shown(part) for part in parts]
        return Item(whole, "\n".join(part.text for part in parts))

    @property
    def _kind(self) -> Literal["input_text", "output_text"]:
        return "output_text" if self.role == "assistant" else "input_text"


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A kept item as a client reads it."""
    return {"id": row["id"], **row["body"]}


def listing(rows: Sequence[Mapping[str, Any]], more: bool) -> dict[str, Any]:
    """A list of things with ids, in OpenAI's shape."""
    return {
        "object": "list",
        "data": list(rows),
        "first_id": rows[0]["id"] if rows else None,
        "last_id": rows[-1]["id"] if rows else None,
        "has_more": more,
    }


def _shown(part: Part) -> dict[str, Any]:
    # The SDK's types call for annotations in what a model wrote.
    annotations: dict[str, Any] = {"annotations": []} if part.type == "output_text" else {}
    return {"type": part.type, "text": part.text, **annotations}
