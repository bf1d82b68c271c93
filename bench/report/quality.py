"""The report of a run of `praxis eval`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.eval.compare import Entry, Wish, compare
from bench.eval.predictions import read
from bench.eval.run import Run
from bench.eval.scores import score, similarities
from bench.eval.similarity import METRICS, Scorer
from bench.report import plots
from bench.report.page import Cell, Page
from bench.report.words import Language, words

_WORST = 10

_EXCERPT = 40
"""Characters of a question by which a row is known again."""


def report(run: Run, language: Language, *, metric: str = "rouge-l") -> tuple[Page, dict[str, bytes]]:
    """The page, and its plots by name. Raises ConfigError where the run has no predictions."""
    record = run.record()
    said = words(language)
    scorer = Scorer()
    thinking = bool(record.get("remove_thinking"))
    found = [
        Entry(name, read(run.predictions(name)))
        for name in record["targets"]
        if run.predictions(name).exists()
    ]
    scored = {each.name: similarities(each.predictions, scorer, remove_thinking=thinking) for each in found}
    scores = {name: score(each) for name, each in scored.items()}
    named = dict.fromkeys([said["quality"], record["dataset"]["name"], run.folder.name])
    page = Page(" · ".join(named), language)
    page.heading("scores")
    page.table([_row(name, each) for name, each in scores.items()])
    pictures = _pictures(scores, found)
    for name, png in pictures.items():
        page.figure(png, said[f"{name}_plot"])
    if any(each["grounding"] for each in scores.values()):
        page.heading("grounding")
        page.table(
            [_grounding(name, each["grounding"]) for name, each in scores.items() if each["grounding"]]
        )
    comparison = compare(found, scorer, Wish(metric=metric, rows=_WORST, remove_thinking=thinking))
    if comparison.note:
        page.note(comparison.note)
    if comparison.differences:
        page.heading("differences")
        page.table(_matrix(comparison.differences))
        page.note(said["tones"])
        page.heading("widest")
        for row in comparison.rows:
            values = ", ".join(f"{name} {value:.1f}" for name, value in row["scores"].items())
            texts = {"prompt": row["prompt"], "label": row["label"], **row["predictions"]}
            page.entry(f"#{row['id']} · {metric}: {values} · {_excerpt(row['prompt'])}", texts)
    page.heading("worst")
    for name, each in scored.items():
        worst = sorted(each.by_id().items(), key=lambda item: (item[1][1][metric], item[0]))[:_WORST]
        for number, (prediction, figures) in worst:
            texts = {"prompt": prediction.prompt, "label": prediction.label, name: prediction.predict}
            title = f"{name} · #{number} · {metric} {figures[metric]:.1f} · {_excerpt(prediction.prompt)}"
            page.entry(title, texts)
    page.settings(record)
    return page, pictures


def _row(name: str, scores: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"target": Cell(name, ", ".join(scores.get("revisions", ())))}
    for metric in METRICS:
        each = scores["intervals"].get(f"predict_{metric}")
        row[metric] = (
            Cell(f"{each['mean']:.2f}", f"[{each['low']:.2f}, {each['high']:.2f}]") if each else None
        )
    row |= {count: scores[count] for count in ("rows", "scored", "errors", "truncated")}
    return row | {"samples/s": scores["predict_samples_per_second"]}


def _matrix(differences: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line for each target, a column for each metric."""
    lines: dict[str, dict[str, Any]] = {}
    for each in differences:
        line = lines.setdefault(each["target"], {"target": each["target"], "against": each["against"]})
        ends = f"[{each['low']:+.2f}, {each['high']:+.2f}]"
        tone = each["verdict"] if each["verdict"] in ("better", "worse") else ""
        line[each["metric"]] = Cell(f"{each['difference']:+.2f}", ends, tone)
    rows = {each["target"]: each["rows"] for each in differences}
    return [line | {"rows": rows[target]} for target, line in lines.items()]


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _EXCERPT else line[:_EXCERPT] + "…"


def _grounding(name: str, grounding: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"target": name}
    for key, value in grounding.items():
        shown = (
            Cell(f"{value['mean']:.1%}", f"[{value['low']:.1%}, {value['high']:.1%}]")
            if isinstance(value, dict)
            else value
        )
        row[key] = shown
    return row


def _pictures(scores: Mapping[str, Any], found: list[Entry]) -> dict[str, bytes]:
    pictures = {}
    groups = {
        name: {
            metric: (ends["mean"], ends["low"], ends["high"])
            for metric in METRICS
            if (ends := each["intervals"].get(f"predict_{metric}"))
        }
        for name, each in scores.items()
        if each["intervals"]
    }
    if groups:
        pictures["quality"] = plots.bars(groups, "0 … 100")
    seconds = {
        each.name: [row.seconds for row in each.predictions if row.error is None and row.seconds is not None]
        for each in found
    }
    if any(seconds.values()):
        pictures["seconds"] = plots.cumulative({name: each for name, each in seconds.items() if each}, "s")
    return pictures
