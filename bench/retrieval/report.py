"""A retrieval result for people: the table, and the questions that were missed, to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def table(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A line for each metric with its interval, then the times, which have none."""
    rows = [
        {
            "figure": name,
            "value": each["mean"],
            "low": each["low"],
            "high": each["high"],
            "questions": each["rows"],
        }
        for name, each in result["metrics"].items()
    ]
    for name, value in result["latency_ms"].items():
        rows.append(
            {
                "figure": f"latency {name} ms",
                "value": value,
                "low": None,
                "high": None,
                "questions": result["answered"],
            }
        )
    return rows


def misses(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows where a gold article was not found, those that found none of theirs first."""
    answered = [row for row in result["rows"] if row["error"] is None]
    missed = [row for row in answered if len(row["ranks"]) < len(row["gold"])]
    return sorted(missed, key=lambda row: len(row["ranks"]) / len(row["gold"]))


def misses_of(result: Mapping[str, Any]) -> str:
    """The missed questions as Markdown: what was asked, what answers it, and what came instead."""
    found = misses(result)
    head = f"# {len(found)} of {result['answered']} questions miss an article in the first {result['settings']['limit']} passages\n"
    return "\n".join([head, *(line for row in found for line in _miss(row))])


def _miss(row: Mapping[str, Any]) -> Iterator[str]:
    came = [each["article"] or "(no article)" for each in row["found"]]
    lacking = [each for each in row["gold"] if each not in came]
    yield f"## {row['id']}: {row['query']}\n"
    yield f"- missed: {'、'.join(lacking)}"
    if row["ranks"]:
        yield f"- found: {'、'.join(each for each in row['gold'] if each in came)} (ranks {', '.join(map(str, row['ranks']))})"
    yield f"- came: {'、'.join(came) or 'nothing'}\n"
