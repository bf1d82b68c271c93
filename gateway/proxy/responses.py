"""What `/v1/responses` has of its own on the hot path: a call that keeps nothing anywhere, and how its stream begins and
ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import orjson

from gateway.proxy.call import Call, parse
from gateway.proxy.events import EventStream, data_of, split
from praxis.errors import InvalidRequest

PATH = "/v1/responses"

_STATEFUL = {
    "previous_response_id": "send the conversation so far in `input`; the items of an earlier `output` may be passed back "
    "as they are",
    "conversation": "send the conversation so far in `input`",
    "background": "leave `background` out, and set `stream` to be told of the answer while it is written",
    "store": "leave `store` out or set it to false, and keep the response yourself",
    "prompt": "send its text as `instructions` and `input`",
}
"""Fields that ask for something to be kept between two requests, and what to do instead."""

_OPENING = frozenset({"response.created", "response.queued", "response.in_progress"})
_LAST = frozenset({"response.completed", "response.incomplete", "response.failed"})


class ResponseCall(Call):
    """A call of `/v1/responses`."""

    __slots__ = ()

    def for_upstream(self, model: str, defaults: Mapping[str, Any], *, count_tokens: bool) -> bytes:
        """As a completion's, with the defaults by their names here. The tokens are always counted, and nothing is to be
        stored: a hosted engine would, unless told."""
        named = {_NAMES.get(key, key): value for key, value in defaults.items()}
        return super().for_upstream(model, named | {"store": False}, count_tokens=False)


_NAMES = {"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens"}


def parse_response(raw: bytes) -> Call:
    """Read a request body. Raises InvalidRequest as `parse` does, and where it asks for something to be kept."""
    call = parse(raw)
    for field, instead in _STATEFUL.items():
        if call.data.get(field):
            raise InvalidRequest(f"No response is kept here, which `{field}` needs: {instead}.", param=field)
    return ResponseCall(**{each.name: getattr(call, each.name) for each in fields(Call)})


@dataclass(slots=True)
class ResponseStream(EventStream):
    """The events of a response.

    Its end is an event that carries the whole response. Its beginning waits for what follows it: engines send it before
    they begin to work, and until then another replica may still be tried.
    """

    _opening: bytes = b""

    def _pass(self, whole: bytes) -> bytes:
        if not self.started:
            whole = self._begun(whole)
        passed = EventStream._pass(self, whole) if whole else b""
        if not passed:
            return b""
        opening, self._opening = self._opening, b""
        return opening + passed

    def _begun(self, whole: bytes) -> bytes:
        """`whole` without the events that open the stream, which are kept."""
        length = 0
        for event in split(whole):
            if not event.startswith(b":"):  # comments keep a connection alive, and are no beginning
                if _kind(event) not in _OPENING:
                    break
                renamed = self.rename(event)
                self._opening += renamed if self.edit is None else self.edit(renamed)
            length += len(event)
        return whole[length:]

    def _event(self, event: bytes) -> bytes:
        kind = _kind(event)
        if kind == "error":
            self.started, self.error = True, orjson.loads(data_of(event))
            return b""
        passed = EventStream._event(self, event)
        if kind in _LAST:
            self.done = True
            self.failed = kind == "response.failed"
        return passed


def _kind(event: bytes) -> str:
    """An event's `type`, empty where it has none."""
    try:
        data = orjson.loads(data_of(event))
    except orjson.JSONDecodeError:
        return ""
    kind = data.get("type") if isinstance(data, dict) else None
    return kind if isinstance(kind, str) else ""
