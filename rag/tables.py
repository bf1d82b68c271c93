"""The one truth of this room: files, stores, which file stands in which, and passages with their vectors.

Everything else, on disk or in memory, is made from these tables and can be made again. A passage's id is never used
twice, so that whatever still holds an old one finds nothing rather than something else.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Engine, ForeignKey, Integer, String, Text

from praxis.state import Step, writing

_metadata = sa.MetaData()
_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _cascade(target: str) -> Any:
    return ForeignKey(target, ondelete="CASCADE")


files = sa.Table(
    "rag_file",
    _metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", String(128), nullable=False, index=True),
    Column("filename", Text, nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("bytes", sa.BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("expires_at", Integer),
)

texts = sa.Table(
    "rag_text",
    _metadata,
    Column("file_id", _cascade("rag_file.id"), primary_key=True),
    Column("text", Text, nullable=False),
    Column("pages", sa.JSON, nullable=False),  # offsets at which pages begin
    Column("facts", sa.JSON),  # format, encoding, pages read by OCR, headings, notes
)

leftovers = sa.Table(
    "rag_leftover",  # files whose bytes may lie somewhere though no row names them, until they are cleared away
    _metadata,
    Column("file_id", String(64), primary_key=True),
)

recognised = sa.Table(
    "rag_recognised",  # the lines of a file's pages that were read by OCR
    _metadata,
    Column("file_id", _cascade("rag_file.id"), primary_key=True),
    Column("page", Integer, primary_key=True, autoincrement=False),
    Column("lines", sa.JSON, nullable=False),
    Column("boxes", sa.JSON),  # where each line stands, in 10,000ths of the page
)

stores = sa.Table(
    "rag_store",
    _metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", String(128), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("metadata", sa.JSON, nullable=False),
    Column("expires_days", Integer),
    Column("created_at", Integer, nullable=False),
    Column("last_active_at", Integer, nullable=False),
    Column("generation", Integer, nullable=False),  # counts the changes to the store's passages
    Column("fingerprint", Text),  # of the embedder that made its vectors
    Column("provider", String(16)),  # where its vectors are for searching; FAISS where none is named
    Column("moving", String(16)),  # where they are being moved
    Column("moved", sa.JSON),  # what came of the last move
)

shares = sa.Table(
    "rag_share",  # who beside its tenant may read a store, or add and remove files too
    _metadata,
    Column("store_id", _cascade("rag_store.id"), primary_key=True),
    Column("kind", String(8), primary_key=True),  # of the grantee: tenant or key
    Column("grantee", String(128), primary_key=True),  # a tenant's name or a key's id
    Column("may", String(8), nullable=False),  # read or write
    Column("granted_by", String(64), nullable=False),  # a key's id
    Column("created_at", Integer, nullable=False),
    sa.Index("rag_share_grantee", "grantee", "kind"),
)

batches = sa.Table(
    "rag_batch",
    _metadata,
    Column("id", String(64), primary_key=True),
    Column("store_id", _cascade("rag_store.id"), nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("cancelled", sa.Boolean, nullable=False),
)

entries = sa.Table(
    "rag_store_file",
    _metadata,
    Column("store_id", _cascade("rag_store.id"), primary_key=True),
    Column("file_id", _cascade("rag_file.id"), primary_key=True),
    Column("batch_id", ForeignKey("rag_batch.id", ondelete="SET NULL"), index=True),
    Column("created_at", Integer, nullable=False),
    Column("status", String(16), nullable=False, index=True),
    Column("error_code", String(32)),
    Column("error_message", Text),
    Column("usage_bytes", sa.BigInteger, nullable=False),
    Column("attributes", sa.JSON, nullable=False),
    Column("chunk_size", Integer, nullable=False),
    Column("chunk_overlap", Integer, nullable=False),
    Column("edition", sa.JSON),  # of each law in it: its title and version, and since when it applies
    Column("progress", sa.JSON),  # how far it is, and in the end what was read
    Column("replaces", String(64)),  # the file whose place it takes in the store once it is read
    sa.Index("rag_store_file_file", "file_id"),
)

passages = sa.Table(
    "rag_passage",
    _metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("store_id", String(64), nullable=False),
    Column("file_id", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("page", Integer),
    Column("law", Text),
    Column("article", String(64)),
    Column("version", String(10)),
    Column("path", Text, nullable=False),
    Column("clause", String(64)),  # the paragraph and item with which a piece of a long article begins
    Column("head", Text),  # what the text goes on from
    Column("ocr", sa.Boolean),  # whether any of it was recognised from a picture
    Column("digest", String(64)),  # of the embedder and the text that it was given; none where not indexed
    Column("vector", sa.LargeBinary),  # float32, little-endian
    sa.ForeignKeyConstraint(
        ["store_id", "file_id"], ["rag_store_file.store_id", "rag_store_file.file_id"], ondelete="CASCADE"
    ),
    sa.Index("rag_passage_file", "store_id", "file_id"),
    sa.Index("rag_passage_article", "store_id", "article", "law"),
    sa.Index("rag_passage_digest", "digest"),
    sqlite_autoincrement=True,
)


drafts = sa.Table(
    "rag_draft",  # vectors of a file that is not in yet, so that none is made twice
    _metadata,
    Column("store_id", String(64), primary_key=True),
    Column("file_id", String(64), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("vector", sa.LargeBinary, nullable=False),
    sa.ForeignKeyConstraint(
        ["store_id", "file_id"], ["rag_store_file.store_id", "rag_store_file.file_id"], ondelete="CASCADE"
    ),
    sa.Index("rag_draft_digest", "digest"),
)


library = sa.Table(
    "rag_library",  # one row: by its id vector databases tell this library's collections from another's
    _metadata,
    Column("id", String(16), primary_key=True),
)

tunings = sa.Table(
    "rag_tuning",
    _metadata,
    Column("store_id", _cascade("rag_store.id"), primary_key=True),
    Column("fingerprint", Text, nullable=False),  # of the embedder that it was learned with
    Column("created_at", Integer, nullable=False),
    Column("learned", sa.LargeBinary),  # none where it was found not to help
    Column("report", sa.JSON, nullable=False),
)


def library_id(engine: Engine) -> str:
    """This library's id, chosen when first asked for."""
    with writing(engine).begin() as connection:
        known = connection.execute(sa.select(library.c.id)).scalar()
        if known is None:
            known = secrets.token_hex(4)
            connection.execute(sa.insert(library).values(id=known))
        return str(known)


def _present(connection: Connection) -> None:
    """Make what is missing of the tables above. A column that comes later may be empty, so that rows need no change."""
    _metadata.create_all(connection)
    inspector = sa.inspect(connection)
    quote = connection.dialect.identifier_preparer
    for table in _metadata.sorted_tables:
        there = {each["name"] for each in inspector.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                kind = column.type.compile(connection.dialect)
                name = f"{quote.format_table(table)} ADD COLUMN {quote.format_column(column)}"
                connection.exec_driver_sql(f"ALTER TABLE {name} {kind}")


def _titled(connection: Connection) -> None:
    """A file's edition was one law's; it is a list, each with the title and version that its passages have."""
    where, columns = entries.c, passages.c
    for row in connection.execute(sa.select(where.store_id, where.file_id, where.edition)).all():
        if not isinstance(row.edition, dict):
            continue
        here = (
            columns.store_id == row.store_id,
            columns.file_id == row.file_id,
            columns.article.is_not(None),
        )
        first = sa.select(columns.law, columns.version).where(*here).order_by(columns.start).limit(1)
        law = connection.execute(first).first()
        held = [row.edition | {"title": law.law, "version": law.version}] if law else None
        mine = (where.store_id == row.store_id, where.file_id == row.file_id)
        connection.execute(sa.update(entries).where(*mine).values(edition=held))


STEPS: Sequence[Step] = (
    _present,
    _present,
    _present,
    _present,
    _present,
    _present,
    _present,
    _titled,
    _present,
    _present,
    _present,
    _present,
)
"""One for each time that the tables grew or changed."""
