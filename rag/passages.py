"""What retrieval speaks of: a passage of a document, and a passage found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from praxis.audit import Line


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a file's extracted text, with where it stands; `text` is exactly that text's [start:end].

    `law`, `article` (「第四十四条」), `version` (ISO date) and `path` (「第四章 工作时间和休息休假」, else empty) are
    known for statutes; `page` (from 1) for files that have pages, and `ocr` is true where the text was recognised from
    the picture of one. `clause` (第二款第三项) is where a piece of a long article begins.
    """

    id: int
    file_id: str
    store_id: str
    filename: str
    text: str
    start: int
    end: int
    page: int | None
    law: str | None
    article: str | None
    version: str | None
    path: str
    ocr: bool | None = None
    clause: str | None = None


FACTS = ("law", "article", "clause", "version", "page", "ocr", "start", "end")
"""What the attributes of a passage tell of it, beside those of its file."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found, with how well it answers: 0 to 1, higher is better."""

    passage: Passage
    score: float


def shown(
    action: str, store_ids: Sequence[str], hits: Iterable[Hit], detail: str | None = None
) -> list[Line]:
    """What the audit trail tells of a search: which files of each store it showed, one line each, or that it showed
    none."""
    files = dict.fromkeys((hit.passage.store_id, hit.passage.file_id) for hit in hits)
    bare = [store_id for store_id in store_ids if all(store_id != each for each, _ in files)]
    return [
        *(Line(action, store_id, file_id, detail) for store_id, file_id in files),
        *(Line(action, store_id, None, detail) for store_id in bare),
    ]
