"""OpenAI's attribute filters: comparisons joined by `and` and `or`, to any depth that a request holds.

A key that a file lacks matches nothing but `ne` and `nin`. Numbers compare as numbers, booleans only with booleans.
`as_of` with a date is ours: the editions of laws that were in force on that day, and all that is no law.
"""

from __future__ import annotations

import datetime
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from praxis.errors import InvalidRequest

Test = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class Filter:
    """Whether attributes pass, and by which of their keys that is decided."""

    test: Test
    keys: frozenset[str]

    def __call__(self, attributes: Mapping[str, Any]) -> bool:
        return self.test(attributes)


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
        keys = frozenset[str]().union(*(each.keys for each in inner))
        return Filter(lambda attributes: join(each(attributes) for each in inner), keys)
    key = document.get("key")
    if not isinstance(key, str) or "value" not in document:
        raise InvalidRequest(f"`{param}` needs a `key` (string) and a `value`.", param=param)
    compare = _as_of if key == "as_of" else _comparison
    return Filter(compare(kind, key, document["value"], param), frozenset((key,)))


def _as_of(kind: Any, key: str, value: Any, param: str) -> Test:
    try:
        day = datetime.date.fromisoformat(value).isoformat() if kind == "eq" else None
    except (TypeError, ValueError):
        day = None
    if day is None:
        raise InvalidRequest(
            f"`{param}` with the key `{key}` needs the type `eq` and a day such as `2015-06-01`.", param=param
        )
    return lambda attributes: attributes.get("effective", "") <= day < attributes.get("until", "9999")


def _comparison(kind: Any, key: str, value: Any, param: str) -> Test:
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
