"""Any other server that speaks OpenAI's protocol. Nothing is known of it, so that nothing is refused in its name."""

from __future__ import annotations

import re
from typing import Any

import orjson

from gateway.backends.dialect import Dialect
from gateway.proxy.call import Call
from gateway.proxy.edit import HOLD, Edit
from gateway.proxy.events import data_of

_MODEL = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.)*")')


class OpenAI(Dialect):
    kind = "openai"
    health_path = "/v1/models"

    @staticmethod
    def editor(path: str, call: Call) -> Edit:
        return AnyName(call.model)


class AnyName:
    """Puts the public model name where a server gave any other: hosted ones answer under a dated name of their own.

    What the server calls it is read once, from the first event that says it, and replaced where it stands.
    """

    most = HOLD

    def __init__(self, public: str) -> None:
        self._public = public
        self._spelled: bytes | None = None

    def __call__(self, event: bytes) -> bytes:
        if self._spelled is None:
            self._spelled = _spelling(data_of(event))
        return self._renamed(event)

    def flush(self) -> bytes:
        return b""

    def whole(self, body: bytes) -> bytes:
        self._spelled = _spelling(body)
        return self._renamed(body)

    def _renamed(self, text: bytes) -> bytes:
        """A quote inside a JSON string is escaped, so that none matches there."""
        if self._spelled is None:
            return text
        spelled, public = self._spelled, orjson.dumps(self._public)
        return _MODEL.sub(
            lambda found: found[0].replace(spelled, public) if found[1] == spelled else found[0], text
        )


def _spelling(data: bytes) -> bytes | None:
    """The `model` of a reply, or of the response that an event carries, as its bytes stand in `data`; None where there is
    none."""
    try:
        payload: Any = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    told = payload.get("response", payload) if isinstance(payload, dict) else None
    name = told.get("model") if isinstance(told, dict) else None
    return next((each for each in _MODEL.findall(data) if orjson.loads(each) == name), None)
