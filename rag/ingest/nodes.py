"""A document's chunks as LlamaIndex nodes: articles where it is a statute, bounded prose where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from llama_index.core.node_parser import NodeParser
from llama_index.core.schema import BaseNode, MetadataMode, NodeRelationship, TextNode
from pydantic import Field

from rag.ingest import statutes
from rag.ingest.document import Chunk, Document
from rag.ingest.prose import pack

FACTS = ("law", "article", "version", "path", "page", "ocr", "start", "end", "indexed")


def chunks(text: str, limit: int, count: Callable[[str], int]) -> Iterator[Chunk]:
    """The chunks of `text` in order, none of more than `limit` tokens; together they hold all but its space."""
    if statutes.is_statute(text):
        yield from statutes.split(text, limit, count)
    else:
        for start, end in pack(text, 0, len(text), limit, count):
            yield Chunk(start, end)


class StructureParser(NodeParser):
    """Splits by structure. A node's metadata has the keys of `FACTS`; only the law is embedded with the text,
    and the article where a long one continues, for a node of an article begins with its name."""

    limit: int = Field(description="Tokens that a node may have")
    count: Callable[[str], int] = Field(exclude=True)

    def _parse_nodes(
        self, nodes: Sequence[BaseNode], show_progress: bool = False, **_: Any
    ) -> list[BaseNode]:
        return [each for node in nodes for each in self._split(node)]

    def _split(self, node: BaseNode) -> Iterator[TextNode]:
        text = node.get_content(MetadataMode.NONE)
        document = Document.of(text, node.metadata.get("pages", []), node.metadata.get("facts", {}))
        for chunk in chunks(text, self.limit, self.count):
            piece = text[chunk.start : chunk.end]
            begins = chunk.article is None or piece.startswith("第")
            embedded = {"law"} if begins else {"law", "article"}
            yield TextNode(
                text=piece,
                metadata={
                    "law": chunk.law,
                    "article": chunk.article,
                    "version": chunk.version,
                    "path": chunk.path,
                    "page": document.page(chunk.start),
                    "ocr": document.recognised(chunk.start, chunk.end) or None,
                    "start": chunk.start,
                    "end": chunk.end,
                    "indexed": chunk.indexed,
                },
                excluded_embed_metadata_keys=[
                    each for each in FACTS if each not in embedded or chunk.law is None
                ],
                metadata_template="{value}",
                metadata_separator=" ",
                text_template="{metadata_str} {content}",
                start_char_idx=chunk.start,
                end_char_idx=chunk.end,
                relationships={NodeRelationship.SOURCE: node.as_related_node_info()},
            )
