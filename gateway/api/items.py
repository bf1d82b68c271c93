"""What a conversation's item may hold: OpenAI's messages, and beside their fields those that a comparison needs."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, PlainValidator, model_validator

from gateway.api.bodies import MOST_BYTES, Body
from gateway.history.conversations import Image, Item

Word = Annotated[str, Field(max_length=256)]
Text = Annotated[str, Field(max_length=MOST_BYTES)]
Plain = bool | int | FiniteFloat | Annotated[str, Field(max_length=4096)] | list[Word] | None


class Part(Body):
    """A piece of a message. OpenAI's clients send `annotations` and `logprobs` back as they got them: only empty ones pass."""

    type: Literal["input_text", "output_text", "text"]
    text: Text
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    logprobs: Annotated[list[Any], Field(max_length=0)] | None = None

    def shown(self) -> dict[str, Any]:
        # The SDK's types call for annotations in what a model wrote.
        annotations: dict[str, Any] = {"annotations": []} if self.type == "output_text" else {}
        return {"type": self.type, "text": self.text, **annotations}


_DATA_URL = re.compile(r"data:image/[a-z+.-]+;base64,")
_BEGINNINGS = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
)
"""How the pictures begin that are kept, whatever their URL calls them."""


def _image(given: Any) -> Image:
    head = _DATA_URL.match(given) if isinstance(given, str) else None
    if head is None:
        raise ValueError("send the picture itself as a `data:image/…;base64,…` URL")
    try:
        content = binascii.a2b_base64(given[head.end() :], strict_mode=True)
    except (binascii.Error, ValueError):
        raise ValueError("what follows `base64,` is no base64") from None
    for beginning, media_type in _BEGINNINGS:
        if beginning.match(content):
            return Image(media_type, content)
    raise ValueError("the picture must be a PNG, JPEG, WebP or GIF")


class Picture(Body):
    """A picture in a message. It is kept apart from it: what is shown of the message says of what kind and size it is."""

    type: Literal["input_image"]
    # Left out of what is written: it would be spelled out again at each level of the body.
    image_url: Annotated[Image, PlainValidator(_image, json_schema_input_type=str), Field(exclude=True)]
    detail: Literal["low", "high", "auto", "original"] = "auto"

    def shown(self) -> dict[str, Any]:
        image = self.image_url
        told = {"media_type": image.media_type, "bytes": len(image.content)}
        return {"type": self.type, "detail": self.detail, **told}


class Run(Body):
    """A run of a document's text; it is `marked` where the answer quotes it."""

    text: str
    marked: bool = False


class Source(Body):
    """A passage that a model was shown for its answer, with the `url` of the page that shows it."""

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
    url: Annotated[str, Field(max_length=4096)] | None = None


class Citation(Source):
    """One that the answer cites, with an `excerpt` of the text around the quote."""

    verified: bool = False
    note: Annotated[str, Field(max_length=1024)] | None = None
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
    """One message; its `content` may be a text. The fields from `question_id` on are ours and may be left out.

    `question_id` is the item that an answer answers, `side` the column that it stood in, `model` who answered;
    `figures` are numbers such as seconds and tokens, `settings` how it was asked.
    """

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    status: Literal["in_progress", "completed", "incomplete"] = "completed"
    content: Annotated[list[Annotated[Part | Picture, Field(discriminator="type")]], Field(max_length=64)]
    question_id: Word | None = None
    side: Word | None = None
    model: Word | None = None
    settings: Annotated[dict[Word, Plain], Field(max_length=64)] | None = None
    figures: Annotated[dict[Word, FiniteFloat], Field(max_length=64)] | None = None
    thinking: Text | None = None
    finish_reason: Word | None = None
    error: Failure | None = None
    citations: Annotated[list[Citation], Field(max_length=256)] | None = None
    unverified: Annotated[list[Unverified], Field(max_length=256)] | None = None
    uncited: Annotated[list[Source], Field(max_length=256)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _in_parts(cls, given: Any) -> Any:
        """A text is one part."""
        if isinstance(given, dict) and isinstance(text := given.get("content"), str):
            kind = "output_text" if given.get("role") == "assistant" else "input_text"
            return given | {"content": [{"type": kind, "text": text}]}
        return given

    def kept(self) -> Item:
        """As the state database keeps it."""
        parts = self.content
        whole = self.model_dump(mode="json", exclude_none=True)
        whole["content"] = [part.shown() for part in parts]
        words = "\n".join(part.text for part in parts if isinstance(part, Part))
        return Item(whole, words, [part.image_url for part in parts if isinstance(part, Picture)])


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
