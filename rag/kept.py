"""What the document process keeps for good: its tables, and the bytes of uploaded files. Indexes are made from the tables."""

from __future__ import annotations

from praxis.kept import Folder, Kept
from rag import tables

KEPT = Kept(
    {"rag": tables.STEPS},
    [Folder("rag/files", "rag_file", "id", lambda config: config.rag.files)],
    ["rag/index"],
)
