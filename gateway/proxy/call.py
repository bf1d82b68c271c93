"""A request's body: parsed once, read for what routing needs, and edited without touching the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from praxis.errors import InvalidRequest


@dataclass(slots=True)
class Call:
    """What a client asked for: the raw bytes, the same parsed, and the fields that routing reads."""

    raw: bytes
    data: dict[str, Any]
    model: str
    stream: bool
    include_usage: bool

    @property
    def file_search(self) -> bool:
        """Whether the request carries OpenAI's `file_search` tool, which asks for a grounded answer."""
        tools = self.data.get("tools")
        return isinstance(tools, list) and any(
            isinstance(tool, dict) and tool.get("type") == "file_search" for tool in tools
        )

    def for_upstream(self, model: str, defaults: Mapping[str, Any], *, count_tokens: bool) -> bytes:
        """The body that an engine receives: its own model name, configured defaults, and usage asked for.

        Bytes that need no edit stay as the client wrote them: a name is spliced in where it stands, and what
        is added goes to the front. Only a body that spells its keys unusually is written anew.
        """
        added = (
            {key: value for key, value in defaults.items() if self.data.get(key) is None} if defaults else {}
        )
        if self.stream and count_tokens and not self.include_usage:
            options = self.data.get("stream_options") or {}
            added["stream_options"] = options | {"include_usage": True}
        raw = self.raw
        if not _plain(raw) or (added and any(key in self.data for key in added)):
            return orjson.dumps(self.data | added | {"model": model})
        if model != self.model:
            spliced = _MODEL.sub(lambda found: found[1] + orjson.dumps(model), raw, count=1)
            if spliced == raw:
                return orjson.dumps(self.data | added | {"model": model})
            raw = spliced
        if added:
            return orjson.dumps(added)[:-1] + b"," + raw[raw.index(b"{") + 1 :]
        return raw


_MODEL = re.compile(rb'("model"\s*:\s*)"(?:[^"\\]|\\.)*"')


def _plain(raw: bytes) -> bool:
    """Whether `"model"` occurs once and unescaped, so that the one occurrence is the root's."""
    # One byte is searched for many times faster than several, and most bodies have no escapes at all.
    return raw.count(b'"model"') == 1 and (b"\\" not in raw or b"\\u00" not in raw)


def parse(raw: bytes) -> Call:
    """Read a request body. Raises InvalidRequest when it is no JSON object or names no model."""
    if not raw:
        raise InvalidRequest("The request has no body; send a JSON object with at least `model`.")
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The body is no valid JSON: {error}.") from None
    if not isinstance(data, dict):
        raise InvalidRequest("The body must be a JSON object with at least `model`.")
    model = data.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest(
            "`model` must be a non-empty string; `GET /v1/models` lists them.", param="model"
        )
    stream = data.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise InvalidRequest("`stream` must be true or false.", param="stream")
    options = data.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise InvalidRequest("`stream_options` must be an object.", param="stream_options")
    return Call(
        raw=raw,
        data=data,
        model=model,
        stream=bool(stream),
        include_usage=bool(stream and options and options.get("include_usage")),
    )
