"""One row of a data set, in any of LLaMA-Factory's layouts, as the OpenAI messages that are asked."""

from __future__ import annotations

import base64
import json
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Message = dict[str, Any]

Formatting = Literal["alpaca", "sharegpt", "openai"]

_IMAGE = "<image>"


class BadRow(ValueError):
    """A row that cannot be asked; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row as it is asked: `id` is its number in the file from 1, `label` the answer to compare with."""

    id: int
    messages: list[Message]
    label: str
    tools: list[dict[str, Any]] = field(default_factory=list)

    @property
    def prompt(self) -> str:
        """The text of the last turn that is asked, for people and judges to read."""
        content = self.messages[-1]["content"]
        if isinstance(content, str):
            return content
        return "".join(part.get("text", _IMAGE) for part in content)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of a row are; a column or tag that is absent does not exist in this data set."""

    formatting: Formatting
    columns: Mapping[str, str | None]
    tags: Mapping[str, str | None]
    images: Path


def example(number: int, row: Any, layout: Layout) -> Example:
    """Row `number` as it is asked. Raises BadRow with the reason when it cannot be."""
    if not isinstance(row, dict):
        raise BadRow("it must be an object")
    if layout.formatting == "alpaca":
        system, turns = _alpaca(row, layout)
    else:
        system, turns = _conversation(row, layout)
    *asked, answer = turns
    if not asked[-1][1].strip():
        raise BadRow("its last question is empty")
    messages = [{"role": "system", "content": system}] if system else []
    messages += _messages(asked)
    _attach_images(messages, row, layout)
    return Example(number, messages, answer[1], _tools(row, layout))


_Turn = tuple[str, str]
"""A role (user, assistant, observation or function) and its text."""


def _column(row: Mapping[str, Any], layout: Layout, column: str) -> Any:
    key = layout.columns.get(column)
    return row.get(key) if key else None


def _text(value: Any, what: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRow(f"{what} must be a text, not {type(value).__name__}")
    if not _is_unicode(value):
        raise BadRow(f"{what} has half a surrogate pair, which is no character")
    return value


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _alpaca(row: Mapping[str, Any], layout: Layout) -> tuple[str, list[_Turn]]:
    turns: list[_Turn] = []
    history = _column(row, layout, "history")
    for pair in history if isinstance(history, list) else []:
        if not isinstance(pair, list) or len(pair) != 2:
            raise BadRow("each item of its history must be a pair of question and answer")
        turns += [("user", _text(pair[0], "history")), ("assistant", _text(pair[1], "history"))]
    parts = [
        _text(_column(row, layout, each), f"`{layout.columns.get(each)}`") for each in ("prompt", "query")
    ]
    turns.append(("user", "\n".join(part for part in parts if part)))
    answer = _column(row, layout, "response")
    if answer is None:
        raise BadRow(f"it has no `{layout.columns['response']}`, the answer to compare with")
    turns.append(("assistant", _text(answer, f"`{layout.columns['response']}`")))
    return _text(_column(row, layout, "system"), "its system prompt"), turns


def _conversation(row: Mapping[str, Any], layout: Layout) -> tuple[str, list[_Turn]]:
    tags = layout.tags
    items = _column(row, layout, "messages")
    if not isinstance(items, list) or not items:
        raise BadRow(f"`{layout.columns['messages']}` must be a list of turns")
    role_tag, content_tag = tags.get("role_tag") or "", tags.get("content_tag") or ""
    roles = {
        tags.get(f"{role}_tag"): role for role in ("user", "assistant", "observation", "function", "system")
    }
    turns: list[_Turn] = []
    for position, item in enumerate(items, start=1):
        if not isinstance(item, dict):
            raise BadRow(f"turn {position} must be an object")
        tag = item.get(role_tag)
        role = roles.get(tag) if isinstance(tag, str) else None
        if role is None:
            raise BadRow(f"turn {position} has the role `{tag}`, which `tags` does not name")
        calls = item.get("tool_calls") if layout.formatting == "openai" else None
        if calls:
            called = [call.get("function", {}) for call in calls]
            turns.append(("function", json.dumps(called, ensure_ascii=False)))
        else:
            turns.append((role, _text(item.get(content_tag), f"turn {position}")))
    system = _text(_column(row, layout, "system"), "its system prompt")
    if turns[0][0] == "system":
        system = turns.pop(0)[1]
    if layout.formatting == "openai":
        turns = _merge_observations(turns)
    _check_order(turns)
    return system, turns


def _merge_observations(turns: list[_Turn]) -> list[_Turn]:
    """Results of tools that follow each other are one turn, so that turns alternate."""
    merged: list[_Turn] = []
    for role, text in turns:
        if merged and role == merged[-1][0] == "observation":
            merged[-1] = (role, merged[-1][1] + "\n" + text)
        else:
            merged.append((role, text))
    return merged


def _check_order(turns: list[_Turn]) -> None:
    for position, (role, _) in enumerate(turns):
        allowed = ("assistant", "function") if position % 2 else ("user", "observation")
        if role not in allowed:
            raise BadRow(f"turn {position + 1} is of `{role}` where one of {' or '.join(allowed)} must stand")
    if len(turns) < 2 or len(turns) % 2:
        raise BadRow(f"it has {len(turns)} turns; the last must be the answer to compare with")


def _messages(turns: list[_Turn]) -> list[Message]:
    messages: list[Message] = []
    call = ""
    for position, (role, text) in enumerate(turns):
        if role == "function":
            call = f"call_{position}"
            messages.append({"role": "assistant", "content": None, "tool_calls": _calls(text, call)})
        elif role == "observation":
            messages.append({"role": "tool", "tool_call_id": call + "_0", "content": text})
        else:
            messages.append({"role": role, "content": text})
    return messages


def _calls(text: str, call: str) -> list[dict[str, Any]]:
    """OpenAI tool calls of the JSON, one call or a list, that LLaMA-Factory keeps in a function turn."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadRow(f"a function call is no JSON: {error}") from None
    calls = []
    for position, each in enumerate(value if isinstance(value, list) else [value]):
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            raise BadRow("a function call needs a `name`")
        arguments = each.get("arguments", {})
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        function = {"name": each["name"], "arguments": arguments}
        calls.append({"id": f"{call}_{position}", "type": "function", "function": function})
    return calls


def _tools(row: Mapping[str, Any], layout: Layout) -> list[dict[str, Any]]:
    value = _column(row, layout, "tools")
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except ValueError as error:
            raise BadRow(f"its tools are no JSON: {error}") from None
    if not value:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise BadRow("its tools must be a list of objects")
    return [each if "function" in each else {"type": "function", "function": each} for each in value]


def _attach_images(messages: list[Message], row: Mapping[str, Any], layout: Layout) -> None:
    """Put each image where `<image>` stands, as a data URL."""
    value = _column(row, layout, "images")
    if not layout.columns.get("images"):
        return
    paths = value if isinstance(value, list) else [value] if value else []
    places = sum(message["content"].count(_IMAGE) for message in messages if message["content"])
    if places != len(paths):
        raise BadRow(f"it has {len(paths)} images for {places} `{_IMAGE}` in its text")
    urls = iter([_data_url(layout.images / str(path)) for path in paths])
    for message in messages:
        if not message["content"] or _IMAGE not in message["content"]:
            continue
        parts: list[dict[str, Any]] = []
        for position, text in enumerate(message["content"].split(_IMAGE)):
            if position:
                parts.append({"type": "image_url", "image_url": {"url": next(urls)}})
            if text:
                parts.append({"type": "text", "text": text})
        message["content"] = parts


def _data_url(path: Path) -> str:
    try:
        encoded = base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        raise BadRow(f"its image `{path}` cannot be read ({error.strerror})") from None
    return f"data:{mimetypes.guess_type(path.name)[0] or 'application/octet-stream'};base64,{encoded}"
