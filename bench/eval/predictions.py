"""Predictions on disk: one JSON object a line, with LLaMA-Factory's `prompt`, `predict` and `label`.

While a run is under way, lines stand in the order in which answers came, each written as soon as it is
known; when it ends they stand in the order of the data set. Lines without the other fields (those of
LLaMA-Factory itself) are read as answers that came.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.jsonl import rows


@dataclass(frozen=True, slots=True)
class Prediction:
    """One line. `error` is `{"type", "message"}` where no answer came; `finished` is a Unix time in seconds.

    `citations` and `unverified` are what the gateway says a grounded answer rests on; None where it is not one.
    `revision` is the adapter's that answered, if one did.
    """

    id: int
    prompt: str
    predict: str
    label: str
    error: dict[str, str] | None = None
    truncated: bool = False
    seconds: float | None = None
    finished: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    citations: list[dict[str, Any]] | None = None
    unverified: list[dict[str, Any]] | None = None
    revision: str | None = None

    def line(self) -> bytes:
        return json.dumps(asdict(self), ensure_ascii=False).encode() + b"\n"


def read(path: Path) -> list[Prediction]:
    """The predictions of a file, in its order. Raises ConfigError that names every line that is none."""
    return rows(path, _prediction)


def _prediction(number: int, value: Any) -> Prediction:
    if not isinstance(value, dict):
        raise ValueError("it must be an object with `predict` and `label`")
    for field in ("predict", "label"):
        if not isinstance(value.get(field), str):
            raise ValueError(f"it needs a text in `{field}`")
    error = value.get("error")
    if error is not None and not (isinstance(error, dict) and isinstance(error.get("type"), str)):
        raise ValueError("`error` must be null or an object with a `type`")
    row = value.get("id")
    return Prediction(
        id=row if isinstance(row, int) else number,
        prompt=str(value.get("prompt", "")),
        predict=value["predict"],
        label=value["label"],
        error=error,
        truncated=value.get("truncated") is True,
        seconds=_number(value.get("seconds")),
        finished=_number(value.get("finished")),
        prompt_tokens=_integer(value.get("prompt_tokens")),
        completion_tokens=_integer(value.get("completion_tokens")),
        citations=objects(value.get("citations")),
        unverified=objects(value.get("unverified")),
        revision=_text(value.get("revision")),
    )


def objects(value: object) -> list[dict[str, Any]] | None:
    """The objects of a list; None of what is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) else None
