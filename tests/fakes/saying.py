"""What a fake engine's model says to a request: its usual words, JSON of the wanted shape, or a call of a tool."""

import json
from dataclasses import dataclass, field
from typing import Any

PIECE = 5
"Characters of JSON in one token."


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call as the model writes it."""

    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """One answer: thinking, then words or calls, and why it ends."""

    thinks: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    reason: str = field(default="stop")

    @property
    def count(self) -> int:
        """Tokens of the answer."""
        return len(self.words) + sum(1 + len(call.arguments) for call in self.calls)


def said(
    body: dict[str, Any],
    says: tuple[str, ...],
    thinks: tuple[str, ...],
    longest: int,
    *,
    constrained: bool = True,
    calls_tools: bool = True,
) -> Said:
    """The answer to `body`, of at most `longest` tokens where it sets no limit itself.

    `says` may itself be the JSON that is wanted. A tool that may be called is called unless its result waits for words.
    """
    tools = _called(body, calls_tools)
    if tools:
        calls = tuple(ToolCall(tool["name"], pieces(tool.get("parameters"))) for tool in tools)
        named = isinstance(body.get("tool_choice"), dict)
        return Said(thinks, calls=calls, reason="stop" if named else "tool_calls")
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or longest
    schema = _schema(body) if constrained else None
    words = says if schema is None or says[0].startswith("{") else pieces(schema)
    return Said(thinks, words[:limit], reason="length" if limit < len(words) else "stop")


def pieces(schema: Any) -> tuple[str, ...]:
    """JSON of that schema, token by token."""
    text = json.dumps(sample(schema or {"type": "object"}, schema or {}), ensure_ascii=False)
    return tuple(text[start : start + PIECE] for start in range(0, len(text), PIECE))


def sample(schema: dict[str, Any], root: dict[str, Any]) -> Any:
    """The simplest value that a JSON schema allows."""
    if "$ref" in schema:
        return sample(root["$defs"][schema["$ref"].rsplit("/", 1)[-1]], root)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return sample(schema[key][0], root)
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: sample(each, root) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        return [sample(schema.get("items", {"type": "string"}), root)]
    return {"string": "加班", "integer": 150, "number": 1.5, "boolean": True}.get(kind)


def _called(body: dict[str, Any], willing: bool) -> list[dict[str, Any]]:
    tools = [tool["function"] for tool in body.get("tools") or ()]
    choice = body.get("tool_choice", "auto") or "auto"
    if not tools or choice == "none":
        return []
    if isinstance(choice, dict):
        return [tool for tool in tools if tool["name"] == choice["function"]["name"]]
    if choice == "auto" and (not willing or body["messages"][-1]["role"] == "tool"):
        return []
    return tools[: 1 if body.get("parallel_tool_calls") is False else 2]


def _schema(body: dict[str, Any]) -> dict[str, Any] | None:
    """The schema that the answer is held to, or None."""
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return dict(wanted["json_schema"]["schema"])
    if wanted.get("type") == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    given = (body.get("structured_outputs") or {}).get("json")
    return json.loads(given) if isinstance(given, str) else given
