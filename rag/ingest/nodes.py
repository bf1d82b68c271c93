"""A document's chunks as LlamaIndex nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llama_index.core.schema import TextNode

from rag.ingest.document import Chunk, Document

FACTS = (
    "law", "article", "clause", "version", "path", "page", "ocr", "start", "end", "indexed", "head",
)  # fmt: skip


def nodes(document: Document, chunks: Sequence[Chunk]) -> Iterator[TextNode]:
    """A node for each chunk. Its metadata has the keys of `FACTS`; only the law is embedded with the text, and its
    head where it goes on from one, for the first node of an article begins with the article's name."""
    for chunk in chunks:
        embedded = {name for name in ("law", "head") if getattr(chunk, name)}
        yield TextNode(
            text=document.text[chunk.start : chunk.end],
            metadata={
                "law": chunk.law,
                "article": chunk.article,
                "clause": chunk.clause,
                "version": chunk.version,
                "path": chunk.path,
                "page": document.page(chunk.start),
                "ocr": document.recognised(chunk.start, chunk.end) or None,
                "start": chunk.start,
                "end": chunk.end,
                "indexed": chunk.indexed,
                "head": chunk.head,
            },
            excluded_embed_metadata_keys=[each for each in FACTS if each not in embedded],
            metadata_template="{value}",
            metadata_separator=" ",
            text_template="{metadata_str} {content}",
            start_char_idx=chunk.start,
            end_char_idx=chunk.end,
        )
