"""What passages are found by as words, from the database to the keyword index."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from rag import tables
from rag.index.keywords import Keywords

_ROWS_AT_ONCE = 500


def keyword_text(law: str | None, path: str, head: str | None, text: str) -> str:
    """What a passage is found by as words: its law and chapter help here, as they do not help vectors."""
    return " ".join(each for each in (law, path, "" if head == path else head, text) if each)


def keywords_of(connection: Connection, *here: sa.ColumnElement[bool]) -> Keywords:
    """The keyword index of the passages that are `here`, made anew."""
    passages, keywords = tables.passages.c, Keywords()
    columns = [passages[name] for name in ("id", "law", "path", "head", "text")]
    query = sa.select(*columns).where(*here).order_by(passages.id)
    for row in connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(query):
        keywords.add(row.id, keyword_text(row.law, row.path, row.head, row.text))
    return keywords
