"""The reports of results that `praxis bench serve` and `praxis bench retrieval` wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.changes import read
from bench.report import plots
from bench.report.page import Page
from bench.report.words import Language, words
from bench.retrieval import report as retrieval_report
from bench.serve import report as serve_report
from praxis.errors import ConfigError, Problem

_READ = 30

Pictures = dict[str, bytes]


def report(file: Path, language: Language) -> tuple[Page, Pictures]:
    """The page, and its plots by name. Raises ConfigError where the file is no such result."""
    result = read(file)
    make = _KINDS.get(result["kind"])
    if make is None:
        known = " or ".join(f"`{kind}`" for kind in _KINDS)
        raise ConfigError(
            str(file),
            [Problem(None, "", f"there is no report of `{result['kind']}`; give a result of {known}")],
        )
    said = words(language)
    page = Page(f"{said[result['kind']]} · {file.stem} · {result['date']}", language)
    try:
        return page, make(page, result)
    except (KeyError, TypeError, IndexError) as error:
        raise ConfigError(
            str(file), [Problem(None, "", f"it is not whole: {error!r}; measure again")]
        ) from None


def _retrieval(page: Page, result: Mapping[str, Any]) -> Pictures:
    said = words(page.language)
    page.heading("figures")
    page.table(retrieval_report.table(result))
    pictures: Pictures = {}
    metrics = {name: (each["mean"], each["low"], each["high"]) for name, each in result["metrics"].items()}
    if metrics:
        knowledge = result["knowledge"]["name"] or result["knowledge"]["id"]
        pictures["metrics"] = plots.bars({knowledge: metrics}, "0 … 1")
        times = [1000 * row["seconds"] for row in result["rows"] if row["seconds"] is not None]
        pictures["search"] = plots.cumulative({knowledge: times}, "ms")
    for name, png in pictures.items():
        page.figure(png, said[f"{name}_plot"])
    page.heading("misses")
    for row in retrieval_report.misses(result)[:_READ]:
        came = [each["article"] or "–" for each in row["found"]]
        texts = {
            "missed": "、".join(each for each in row["gold"] if each not in came),
            "came": "\n".join(came),
        }
        page.entry(f"#{row['id']} · {row['query']}", texts)
    page.settings({name: value for name, value in result.items() if name not in ("rows", "metrics")})
    return pictures


def _serve(page: Page, result: Mapping[str, Any]) -> Pictures:
    said = words(page.language)
    page.heading("figures")
    page.table(serve_report.table(result))
    for note in serve_report.notes(result):
        page.note(note)
    page.heading("plots")
    pictures = _serve_pictures(result)
    for name, png in pictures.items():
        page.figure(png, said[f"{name}_plot"])
    page.settings({name: value for name, value in result.items() if name != "runs"})
    return pictures


def _serve_pictures(result: Mapping[str, Any]) -> Pictures:
    latencies: dict[str, list[float]] = {}
    over_time: dict[str, list[tuple[float, float]]] = {}
    tradeoff: dict[str, list[tuple[float, float]]] = {}
    for run in result["runs"]:
        name = f"{run['model_id']}, {run['load']}"
        for each in run["rounds"]:
            latencies.setdefault(name, []).extend(
                1000 * value for value in each["latencies"] if value is not None
            )
            over_time.setdefault(name, []).extend(
                (start, 1000 * value)
                for start, value in zip(each["start_times"], each["ttfts"], strict=True)
                if value is not None
            )
            if each["completed"]:
                point = (each["output_throughput"], each["median_e2el_ms"])
                tradeoff.setdefault(run["model_id"], []).append(point)
    pictures: Pictures = {}
    if any(latencies.values()):
        pictures["tradeoff"] = plots.lines(
            {name: sorted(points) for name, points in tradeoff.items()}, "output tokens/s", "E2E p50, ms"
        )
        pictures["latency"] = plots.cumulative(
            {name: each for name, each in latencies.items() if each}, "E2E, ms"
        )
        seen = {name: sorted(points) for name, points in over_time.items() if points}
        pictures["ttft"] = plots.lines(seen, "s", "TTFT, ms", dots=True)
    return pictures


_KINDS: Mapping[str, Callable[[Page, Mapping[str, Any]], Pictures]] = {
    "retrieval": _retrieval,
    "serve": _serve,
}
