"""Reading JSON bodies as OpenAI's clients send them: perhaps empty, null for what is left out, extra keys ignored."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Depends, Request

from praxis.errors import InvalidRequest, TooLarge

_LARGEST = 64 << 20


async def _body(request: Request) -> dict[str, Any]:
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > _LARGEST:
            raise TooLarge(f"A request may have at most {_LARGEST >> 20} MB.")
    if not raw.strip():
        return {}
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not valid JSON.") from None
    if not isinstance(document, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return {key: value for key, value in document.items() if value is not None}


Body = Annotated[dict[str, Any], Depends(_body)]
"""The parameter type by which a route receives its body: an object without its nulls."""


def integer(body: dict[str, Any], name: str, default: int, low: int, high: int) -> int:
    """`body[name]` as a whole number from `low` to `high`. Raises InvalidRequest."""
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidRequest(f"`{name}` must be a whole number from {low} to {high}.", param=name)
    return value


def text(body: dict[str, Any], name: str, longest: int) -> str | None:
    """`body[name]` as a string of at most `longest` characters, None where it is left out. Raises InvalidRequest."""
    value = body.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > longest):
        raise InvalidRequest(f"`{name}` must be a string of at most {longest} characters.", param=name)
    return value


def pairs(body: dict[str, Any], name: str, *, strings_only: bool) -> dict[str, Any]:
    """`body[name]` as OpenAI's metadata (string values) or attributes (strings, numbers, booleans): at most 16 keys
    of 64 characters, strings of 512. Raises InvalidRequest."""
    value = body.get(name, {})
    kinds: tuple[type, ...] = (str,) if strings_only else (str, int, float, bool)
    said = "strings" if strings_only else "strings, numbers or booleans"
    if not isinstance(value, dict):
        raise InvalidRequest(f"`{name}` must be an object.", param=name)
    if len(value) > 16:
        raise InvalidRequest(
            f"`{name}` may have at most 16 keys.", param=name, code="object_above_max_properties"
        )
    for key, each in value.items():
        if not isinstance(each, kinds):
            raise InvalidRequest(f"`{name}.{key}` must be one of {said}.", param=name)
        if len(key) > 64 or (isinstance(each, str) and len(each) > 512):
            raise InvalidRequest(
                f"`{name}.{key[:64]}` is too long: keys have at most 64 characters, values 512.",
                param=name,
                code="string_above_max_length",
            )
    return value
