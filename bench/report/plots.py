"""The plots of reports, as PNG. Axes are in the field's own terms, so that one picture serves every language."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

# Targets may have Chinese names; the first font that this machine has is taken.
_FONTS = ["Noto Sans CJK SC", "Noto Sans CJK JP", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]

Ends = tuple[float, float, float]
"""A mean with the ends of its interval."""


def bars(groups: Mapping[str, Mapping[str, Ends]], unit: str) -> bytes:
    """A group of bars with intervals for each metric; the inner names are the metrics, the outer ones the targets."""
    figure, axes = _figure()
    metrics = list(next(iter(groups.values())))
    width = 0.8 / len(groups)
    for number, (target, values) in enumerate(groups.items()):
        places = [at + (number - (len(groups) - 1) / 2) * width for at in range(len(metrics))]
        means = [values[metric][0] for metric in metrics]
        below = [max(0.0, values[metric][0] - values[metric][1]) for metric in metrics]
        above = [max(0.0, values[metric][2] - values[metric][0]) for metric in metrics]
        axes.bar(places, means, width * 0.9, yerr=[below, above], capsize=3, label=target)
    axes.set_xticks(range(len(metrics)), metrics)
    axes.set_ylabel(unit)
    axes.legend()
    return _png(figure)


def cumulative(series: Mapping[str, Sequence[float]], unit: str) -> bytes:
    """The share of values up to each value, a line for each name."""
    figure, axes = _figure()
    for name, values in series.items():
        ordered = sorted(values)
        axes.step(ordered, [(n + 1) / len(ordered) for n in range(len(ordered))], where="post", label=name)
    axes.set_xlabel(unit)
    axes.set_ylabel("share")
    axes.set_ylim(0, 1.02)
    axes.legend()
    return _png(figure)


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]], x: str, y: str, *, dots: bool = False
) -> bytes:
    """Points joined by lines, or dots alone."""
    figure, axes = _figure()
    for name, points in series.items():
        axes.plot(*zip(*points, strict=True), "." if dots else "o-", label=name)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_ylim(0, 1.08 * max(value for points in series.values() for _, value in points))
    axes.legend()
    return _png(figure)


def _figure() -> tuple[Any, Any]:
    from matplotlib import rcParams
    from matplotlib.figure import Figure
    from matplotlib.font_manager import fontManager

    there = {font.name for font in fontManager.ttflist}
    rcParams["font.family"] = [name for name in _FONTS if name in there] or ["sans-serif"]
    figure = Figure(figsize=(8.5, 4.2), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.25)
    return figure, axes


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
