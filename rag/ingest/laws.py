"""Which laws a text holds, each in which edition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rag.ingest import statutes
from rag.ingest.document import Chunk


def held(text: str, chunks: Sequence[Chunk]) -> list[dict[str, Any]] | None:
    """The editions of laws in a document of these chunks; None where it is no law. `title` is the law as its chunks
    name it, `law` what its editions have in common; `version` and `effective` are ISO dates."""
    begins: dict[tuple[str, str | None], int] = {}
    for each in chunks:
        if each.law:
            begins.setdefault((each.law, each.version), each.start)
    named = {(each.law, each.version) for each in chunks if each.article}
    ends = [*begins.values(), len(text)][1:]
    found = [
        _edition(text[start if number else 0 : end], *law)
        for number, (law, start, end) in enumerate(zip(begins, begins.values(), ends, strict=True))
        if law in named
    ]
    return found or None


def _edition(text: str, title: str, version: str | None) -> dict[str, Any]:
    # Each book of a code that comes by itself has editions of its own.
    law = "·".join(each for each in (title.removeprefix("中华人民共和国"), statutes.book(text)) if each)
    effective = statutes.effective(text) or version
    return {"law": law, "title": title, "version": version, "effective": effective}
