"""What was measured and kept in a folder: runs of `praxis eval`, and results that `praxis bench … --json` wrote there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.changes import read
from bench.eval.run import runs
from praxis.errors import ConfigError


def listing(folder: Path) -> list[dict[str, Any]]:
    """A line for each, oldest first."""
    found = [{"kind": "eval", **run.listing()} for run in runs(folder)]
    for file in folder.glob("*.json"):
        try:
            result = read(file)
        except ConfigError:  # Some other file.
            continue
        line = {"kind": result["kind"], "run": str(file), "started": _moment(str(result.get("date", "")))}
        found.append(line | _KINDS[result["kind"]](result) | {"state": "finished"})
    return sorted(found, key=lambda each: str(each["started"]))


def _moment(date: str) -> str:
    """Minutes, of a date in any of the forms that results have."""
    digits = re.sub(r"\D", "", date)
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]} {digits[8:10]}:{digits[10:12]}"


def _serve(result: Mapping[str, Any]) -> dict[str, Any]:
    rounds = [each for run in result["runs"] for each in run["rounds"]]
    return {
        "dataset": _names(run["load"] for run in result["runs"]),
        "rows": sum(each["num_prompts"] for each in rounds),
        "targets": _names(run["model_id"] for run in result["runs"]),
    }


def _retrieval(result: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "dataset": Path(result["settings"]["questions"]).name,
        "rows": result["questions"],
        "targets": result["knowledge"]["name"] or result["knowledge"]["id"],
    }


def _gateway(result: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "dataset": _names(load["load"] for load in result["loads"]),
        "rows": None,
        "targets": _names(result["subjects"]),
    }


def _names(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


_KINDS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "serve": _serve,
    "retrieval": _retrieval,
    "gateway": _gateway,
}
