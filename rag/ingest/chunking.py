"""How a document is split: by articles where it is a statute, by headings and bounded prose where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rag.ingest import acts, outline, statutes
from rag.ingest.document import Chunk


def chunks(
    text: str,
    limit: int,
    count: Callable[[str], int],
    overlap: int = 0,
    marked: Sequence[tuple[int, int]] = (),
) -> Iterator[Chunk]:
    """The chunks of `text` in order, none of more than `limit` tokens; together they hold all but its space.

    `marked` are the headings, offset and level, that the text's format tells. Pieces of prose share up to `overlap`
    tokens; articles are whole by themselves and share none.
    """
    overlap = min(overlap, limit // 2)
    if statutes.is_statute(text):
        yield from statutes.split(text, limit, count)
    elif acts.is_act(text):
        yield from acts.split(text, limit, count)
    else:
        yield from outline.split(text, outline.sections(text, marked), limit, overlap, count)
