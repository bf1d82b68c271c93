"""What the client gets: a grounded answer in the form of the API that it was asked by."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rag.answer.citations import Evidence
from rag.answer.reply import Pieces
from rag.passages import Hit


@dataclass(frozen=True, slots=True)
class Search:
    """What was searched for, and the passages shown to the model: marker n is `hits[n - 1]`, with its `attributes`."""

    query: str
    hits: Sequence[Hit] = ()
    attributes: Sequence[dict[str, Any]] = ()


class Form(Protocol):
    """The form of one answer."""

    @property
    def lists_passages(self) -> bool:
        """Whether the passages shown are to be listed, with their attributes."""
        ...

    def whole(self, completion: dict[str, Any], evidence: Evidence, search: Search) -> dict[str, Any]:
        """The body of a plain reply."""
        ...

    def stream(self, pieces: Pieces, search: Search) -> AsyncIterator[bytes]:
        """The server-sent events of a streaming reply."""
        ...


def data(event: object) -> bytes:
    """The data of one server-sent event, with the event's end."""
    return b"data: " + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
