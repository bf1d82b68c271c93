"""A server of knowledge bases whose every hit is known beforehand; real HTTP on a free port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.listening import Handler, Listening

Hit = tuple[str, str] | None
"""Law and article of a passage, or None for one of no article."""


class _Search(Handler["SearchServer"]):
    def get(self) -> None:
        store = {"id": "vs_1", "name": self.fake.name, "file_counts": {"completed": 2, "total": 2}}
        self.send(200, {"object": "list", "data": [store], "has_more": False})

    def post(self, asked: dict[str, Any]) -> None:
        self.fake.requests.append(asked)
        found = self.fake.finds.get(asked["query"], ())
        if isinstance(found, int):
            self.send(found, {"error": {"message": f"fault {found}"}})
        else:
            hits = [_hit(hit, 1 - 0.01 * n) for n, hit in enumerate(found[: asked["max_num_results"]])]
            self.send(200, {"object": "vector_store.search_results.page", "data": hits})


@dataclass
class SearchServer(Listening):
    """One knowledge base. `finds` are the hits of a question, best first, or the status that refuses it; else nothing."""

    handler = _Search
    finds: Mapping[str, Sequence[Hit] | int]
    name: str = "statutes"
    key: str | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)


def _hit(hit: Hit, score: float) -> dict[str, Any]:
    facts = {"law": hit[0], "article": hit[1]} if hit else {"page": 3}
    return {"file_id": "file_1", "filename": "x.txt", "score": score, "attributes": facts, "content": []}
