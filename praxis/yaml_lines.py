"""YAML that remembers on which line each value stands, so that every mistake can be pointed at."""

from __future__ import annotations

from typing import Any

import yaml

from praxis.errors import Problem

Path = tuple[str | int, ...]


class LinedYaml:
    """A parsed document: `value`, the line of each path in it (1-based), and what was wrong with its syntax."""

    def __init__(self, text: str) -> None:
        self.value: Any = None
        self.problems: list[Problem] = []
        self._lines: dict[Path, int] = {}
        self._open: set[int] = set()
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            reason = getattr(error, "problem", None) or "this is no YAML"
            self.problems.append(
                Problem(mark.line + 1 if mark else None, "", f"{reason}; correct the YAML here")
            )
            return
        self._constructor = yaml.SafeLoader("")
        self.value = None if node is None else self._build(node, ())

    def line(self, path: Path) -> int | None:
        """The line of `path`, or of the nearest value around it."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path)

    def _build(self, node: yaml.Node, path: Path) -> Any:
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            line = node.start_mark.line + 1
            self.problems.append(Problem(line, _dotted(path), "this anchor holds itself; write it out"))
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            return [self._build(each, (*path, index)) for index, each in enumerate(node.value)]
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self._scalar(key_node, path) if isinstance(key_node, yaml.ScalarNode) else None
            line = key_node.start_mark.line + 1
            if not isinstance(key, (str, int)):
                self.problems.append(Problem(line, _dotted(path), "a key must be plain text"))
                continue
            below = (*path, key)
            if key in result:
                self.problems.append(
                    Problem(
                        line, _dotted(below), f"written twice (first on line {self._lines[below]}); keep one"
                    )
                )
                continue
            self._lines[below] = line
            result[key] = self._build(value_node, below)
        return result

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        try:
            return self._constructor.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            reason = getattr(error, "problem", None) or str(error)
            self.problems.append(
                Problem(node.start_mark.line + 1, _dotted(path), f"{reason}; write it as plain text")
            )
            return None


def _dotted(path: Path) -> str:
    return ".".join(str(part) for part in path)
