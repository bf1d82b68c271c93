"""OpenAI's attribute filters: comparisons joined by `and` and `or`, to any depth that a request holds.

A key that a file lacks matches nothing but `ne` and `nin`. Numbers compare as numbers, booleans only with booleans.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from praxis.errors import InvalidRequest

Filter = Callable[[Mapping[str, Any]], bool]

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_DEEPEST = 32


def parse(document: Any, param: str = "filters", depth: int = 0) -> Filter:
    """The filter that `document` describes. Raises InvalidRequest naming the part that is wrong."""
    if not isinstance(document, dict):
        raise InvalidRequest(f"`{param}` must be an object with a `type`.", param=param)
    if depth > _DEEPEST:
        raise InvalidRequest(f"`{param}` is nested more than {_DEEPEST} deep; flatten it.", param=param)
    kind = document.get("type")
    if kind in ("and", "or"):
        parts = document.get("filters")
        if not isinstance(parts, list) or not parts:
            raise InvalidRequest(f"`{param}.filters` must be a list with at least one filter.", param=param)
        inner = [parse(each, f"{param}.filters[{at}]", depth + 1) for at, each in enumerate(parts)]
        join = all if kind == "and" else any
        return lambda attributes: join(each(attributes) for each in inner)
    key = document.get("key")
    if not isinstance(key, str) or "value" not in document:
        raise InvalidRequest(f"`{param}` needs a `key` (string) and a `value`.", param=param)
    return _comparison(kind, key, document["value"], param)


def _comparison(kind: Any, key: str, value: Any, param: str) -> Filter:
    if kind in ("in", "nin"):
        if not isinstance(value, list) or not all(_is_scalar(each) for each in value):
            raise InvalidRequest(
                f"`{param}.value` must be a list of strings or numbers for `{kind}`.", param=param
            )
        wanted = kind == "in"
        return lambda attributes: any(_equal(attributes.get(key), each) for each in value) is wanted
    if not _is_scalar(value):
        raise InvalidRequest(
            f"`{param}.value` must be a string, a number or a boolean for `{kind}`.", param=param
        )
    if kind in ("eq", "ne"):
        wanted = kind == "eq"
        return lambda attributes: _equal(attributes.get(key), value) is wanted
    if kind in _ORDER:
        compare = _ORDER[kind]
        return lambda attributes: _comparable(attributes.get(key), value) and compare(attributes[key], value)
    raise InvalidRequest(
        f"`{param}.type` must be one of eq, ne, gt, gte, lt, lte, in, nin, and, or.", param=param
    )


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool))


def _equal(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _comparable(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return False
    numbers = isinstance(one, (int, float)) and isinstance(other, (int, float))
    return numbers or (isinstance(one, str) and isinstance(other, str))
