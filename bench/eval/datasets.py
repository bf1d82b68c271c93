"""Data sets as LLaMA-Factory keeps them: a folder with `dataset_info.json` and JSON or JSONL files.

Read as `src/llamafactory/data/parser.py` and `converter.py` read them, with three differences: a wrong row is
named instead of dropped, `formatting: openai` adds nothing to the system prompt, and turns become OpenAI
messages, because the engine applies the chat template. One trait is kept on purpose: as soon as an entry has
`columns` (or `tags`), the columns (tags) that it does not name do not exist; their defaults are gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.eval.rows import BadRow, Example, Layout, example
from bench.jsonl import text_lines
from praxis.errors import ConfigError, Problem

_INFO = "dataset_info.json"
_COLUMNS = {"prompt": "instruction", "query": "input", "response": "output", "messages": "conversations"}
_TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
_OPENAI_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "function_call",
    "system_tag": "system",
}


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set: its examples in the order of the file, and its wrong rows."""

    name: str
    path: Path
    examples: list[Example]
    bad: list[Problem]


def load(name: str, folder: Path, *, max_samples: int | None = None) -> Dataset:
    """Read the data set `name` of `folder`, at most its first `max_samples` rows.

    Raises ConfigError when the data set or its file cannot be read at all; wrong rows are in `Dataset.bad`.
    """
    entry = _entry(name, folder)
    path = folder / entry["file_name"]
    layout = _layout(name, entry, folder)
    limit = max_samples if max_samples is not None else entry.get("num_samples")
    examples: list[Example] = []
    bad: list[Problem] = []
    for number, row in _rows(path):
        if limit is not None and number > limit:
            break
        try:
            if isinstance(row, BadRow):
                raise row
            examples.append(example(number, row, layout))
        except BadRow as reason:
            bad.append(Problem(None, f"row {number}", str(reason)))
    if not examples and not bad:
        raise _unusable(path, "", "it has no rows; there is nothing to ask")
    return Dataset(name, path, examples, bad)


def names(folder: Path) -> list[str]:
    """The data sets that `folder` describes. Raises ConfigError when it has no readable `dataset_info.json`."""
    return sorted(_info(folder))


def _unusable(source: Path, where: str, message: str) -> ConfigError:
    return ConfigError(str(source), [Problem(None, where, message)])


def _info(folder: Path) -> dict[str, Any]:
    path = folder / _INFO
    try:
        info = json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        reason = (
            f"it cannot be read ({error.strerror}); give the folder that holds `{_INFO}` as `--dataset-dir`"
        )
        raise _unusable(path, "", reason) from None
    except ValueError as error:
        raise _unusable(path, "", f"it is no JSON: {error}") from None
    if not isinstance(info, dict):
        raise _unusable(path, "", "it must be an object of data set names")
    return info


def _entry(name: str, folder: Path) -> dict[str, Any]:
    info = _info(folder)
    source = folder / _INFO
    if name not in info:
        known = ", ".join(f"`{each}`" for each in sorted(info)) or "none"
        raise _unusable(source, "", f"it has no data set `{name}`; it has {known}")
    entry = info[name]
    if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str):
        raise _unusable(
            source, name, "it needs a `file_name` in the same folder; data sets on a hub are not fetched"
        )
    if entry.get("ranking"):
        raise _unusable(source, name, "a `ranking` data set has no single answer to compare with")
    return entry


def _layout(name: str, entry: Mapping[str, Any], folder: Path) -> Layout:
    source = folder / _INFO
    formatting = entry.get("formatting", "alpaca")
    if formatting not in ("alpaca", "sharegpt", "openai"):
        raise _unusable(source, name, f"`formatting` is `{formatting}`; it can be alpaca, sharegpt or openai")
    for part in ("columns", "tags"):
        if not isinstance(entry.get(part, {}), dict):
            raise _unusable(source, name, f"`{part}` must be an object of names")
    tags = entry.get("tags", _OPENAI_TAGS if formatting == "openai" else _TAGS)
    columns = entry.get("columns", {"messages": "messages"} if formatting == "openai" else _COLUMNS)
    question = "query" if columns.get("query") else "prompt"
    needed = (question, "response") if formatting == "alpaca" else ("messages",)
    missing = [f"`columns.{each}`" for each in needed if not columns.get(each)]
    if formatting != "alpaca":
        needed_tags = ("role_tag", "content_tag", "user_tag", "assistant_tag")
        missing += [f"`tags.{each}`" for each in needed_tags if not tags.get(each)]
    if missing:
        raise _unusable(
            source,
            name,
            f"it does not name {' and '.join(missing)}; an entry with `columns` or `tags` must name each that it uses",
        )
    return Layout(formatting, columns, tags, folder)


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Number (from 1) and value of each row; a line that is no JSON comes as the BadRow that it is."""
    if path.suffix not in (".json", ".jsonl"):
        raise _unusable(path, "", "only .json and .jsonl files are read")
    lines = text_lines(path)
    if next((line.lstrip()[:1] for line in lines if line.strip()), "") == "[":
        try:
            yield from enumerate(json.loads("\n".join(lines)), start=1)
        except ValueError as error:
            raise _unusable(path, "", f"it is no JSON: {error}") from None
        return
    number = 0
    for line in lines:
        if line.strip():
            number += 1
            yield number, _json_row(line)


def _json_row(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        return BadRow(f"it is no JSON: {error}")
