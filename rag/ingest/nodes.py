"""A document's chunks as LlamaIndex nodes: articles where it is a statute, bounded prose where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from llama_index.core.node_parser import NodeParser
from llama_index.core.schema import BaseNode, MetadataMode, NodeRelationship, TextNode
from pydantic import Field

from rag.ingest import acts, outline, statutes
from rag.ingest.document import Chunk, Document

FACTS = (
    "law", "article", "clause", "version", "path", "page", "ocr", "start", "end", "indexed", "head",
)  # fmt: skip


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


class StructureParser(NodeParser):
    """Splits by structure. A node's metadata has the keys of `FACTS`; only the law is embedded with the text, and its
    head where it goes on from one, for the first node of an article begins with the article's name."""

    limit: int = Field(description="Tokens that a node may have")
    overlap: int = Field(default=0, description="Tokens that neighbouring nodes of prose may share")
    count: Callable[[str], int] = Field(exclude=True)

    def _parse_nodes(
        self, nodes: Sequence[BaseNode], show_progress: bool = False, **_: Any
    ) -> list[BaseNode]:
        return [each for node in nodes for each in self._split(node)]

    def _split(self, node: BaseNode) -> Iterator[TextNode]:
        text = node.get_content(MetadataMode.NONE)
        document = Document.of(text, node.metadata.get("pages", []), node.metadata.get("facts", {}))
        source = node.as_related_node_info()  # reckons the hash of the whole text: once, not for each chunk
        for chunk in chunks(text, self.limit, self.count, self.overlap, document.headings):
            piece = text[chunk.start : chunk.end]
            embedded = {name for name in ("law", "head") if getattr(chunk, name)}
            yield TextNode(
                text=piece,
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
                relationships={NodeRelationship.SOURCE: source},
            )
