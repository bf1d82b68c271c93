"""Ask a knowledge base every question and measure what it finds, as an application would: over HTTP."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.endpoint import Failure, Gateway
from bench.intervals import CONFIDENCE, RESAMPLES, intervals, percentile
from bench.retrieval.metrics import figures, ranks
from bench.retrieval.questions import Article, Question
from bench.workers import work_off
from praxis.errors import NotFound

LONGEST = 50
"""Passages that the search gives at most."""

Report = Callable[[int, int, int], None]
"""Told after every question: how many are done, how many there are, how many failed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked. `limit` is how many passages each search asks for; `cutoffs` are the k of hit@k and recall@k."""

    file: Path
    questions: Sequence[Question]
    limit: int
    cutoffs: Sequence[int]
    concurrency: int
    seed: int
    check_gold: bool = False

    def settings(self) -> dict[str, Any]:
        """What makes the run repeatable."""
        return {
            "questions": str(self.file.resolve()),
            "sha256": hashlib.sha256(self.file.read_bytes()).hexdigest(),
            "asked": len(self.questions),
            "limit": self.limit,
            "cutoffs": list(self.cutoffs),
            "concurrency": self.concurrency,
            "seed": self.seed,
            "resamples": RESAMPLES,
            "confidence": CONFIDENCE,
        }


async def store(gateway: Gateway, name: str) -> dict[str, Any]:
    """The knowledge base that is called, or identified as, `name`. Raises NotFound, or Failure."""
    known: list[dict[str, Any]] = []
    after = ""
    while True:
        page = await gateway.request("GET", f"/v1/vector_stores?limit=100&order=desc{after}")
        known += page["data"]
        if not page.get("has_more") or not page["data"]:
            break
        after = f"&after={page['data'][-1]['id']}"
    for each in known:
        if name in (each["id"], each["name"]):
            return each
    listing = ", ".join(f"`{each['name'] or each['id']}`" for each in known) or "none"
    raise NotFound(f"The key sees no knowledge base `{name}`; it sees {listing}.")


async def measure(gateway: Gateway, knowledge: str, plan: Plan, report: Report) -> dict[str, Any]:
    """Everything that was seen. Raises NotFound for an unknown knowledge base and Failure where nothing can be asked."""
    found = await store(gateway, knowledge)
    began = time.time()
    rows = await _ask_all(gateway, found["id"], plan, report)
    took = time.time() - began
    result = {
        "kind": "retrieval",
        "praxis": version("praxis"),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(began)),
        "url": gateway.url,
        "knowledge": {"id": found["id"], "name": found["name"], "files": found.get("file_counts")},
        "settings": plan.settings(),
        **_summary(rows, plan),
        "duration": took,
        "request_throughput": len(rows) / took if took else 0.0,
        "missing_gold": None,
        "rows": rows,
    }
    if plan.check_gold:
        result["missing_gold"] = await _missing(gateway, found["id"], plan)
    return result


def _summary(rows: Sequence[dict[str, Any]], plan: Plan) -> dict[str, Any]:
    answered = [each for each in rows if each["error"] is None]
    names = list(answered[0]["metrics"]) if answered else []
    columns: dict[str, Sequence[float]] = {
        name: [each["metrics"][name] for each in answered] for name in names
    }
    seconds = [each["seconds"] for each in answered]
    latency = {"mean": sum(seconds) / len(seconds) if seconds else None}
    latency |= {f"p{share}": percentile(seconds, share) for share in (50, 95, 99)}
    return {
        "questions": len(rows),
        "answered": len(answered),
        "errors": dict(sorted(Counter(each["error"]["type"] for each in rows if each["error"]).items())),
        "metrics": {
            name: each.record()
            for name, each in (intervals(columns, seed=plan.seed) if columns else {}).items()
        },
        "latency_ms": {name: None if each is None else 1000 * each for name, each in latency.items()},
    }


async def _ask_all(gateway: Gateway, store_id: str, plan: Plan, report: Report) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    failed = 0

    async def work(question: Question) -> bool:
        nonlocal failed
        rows[question.id] = row = await _ask(gateway, store_id, question, plan)
        failed += row["error"] is not None
        report(len(rows), len(plan.questions), failed)
        return True

    await work_off(plan.questions, plan.concurrency, work)
    return [rows[each.id] for each in plan.questions]


async def _ask(gateway: Gateway, store_id: str, question: Question, plan: Plan) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": question.id,
        "query": question.query,
        "gold": [str(each) for each in question.gold],
        "found": [],
        "ranks": [],
        "metrics": {},
        "seconds": None,
        "error": None,
    }
    began = time.perf_counter()
    try:
        body = {"query": question.query, "max_num_results": plan.limit}
        hits = _hits(await gateway.request("POST", f"/v1/vector_stores/{store_id}/search", body))
    except Failure as failure:
        return row | {"error": {"type": failure.kind, "message": failure.message}}
    seconds = time.perf_counter() - began
    articles = [article for article, _ in hits if article is not None]
    ranking = list(dict.fromkeys(articles))
    return row | {
        "found": [{"article": article and str(article), "score": score} for article, score in hits],
        "ranks": ranks(ranking, question.gold),
        "metrics": figures(ranking, question.gold, plan.cutoffs),
        "seconds": seconds,
    }


def _hits(reply: dict[str, Any]) -> list[tuple[Article | None, float]]:
    """What was found, best first; a passage that is of no article has None. Raises Failure."""
    try:
        return [
            (
                Article.named(each["attributes"].get("law"), each["attributes"].get("article")),
                float(each["score"]),
            )
            for each in reply["data"]
        ]
    except (KeyError, TypeError, AttributeError, ValueError):
        raise Failure("invalid", "The reply holds no search results.") from None


async def _missing(gateway: Gateway, store_id: str, plan: Plan) -> list[str]:
    """The gold articles that no search can find, because nothing of the knowledge base is of them. Raises Failure."""
    gold = dict.fromkeys(article for each in plan.questions for article in each.gold)
    missing = []
    for article in gold:
        body = {"query": str(article), "max_num_results": LONGEST}
        hits = _hits(await gateway.request("POST", f"/v1/vector_stores/{store_id}/search", body))
        if article not in [found for found, _ in hits]:
            missing.append(str(article))
    return missing
