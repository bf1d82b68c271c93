"""What all dialects share: how a refusal of the engine becomes the gateway's own error."""

from __future__ import annotations

import re
from typing import Any

import orjson

from gateway.backends.load import Load
from gateway.proxy.call import Call
from gateway.proxy.edit import Editor
from praxis.errors import (
    InvalidRequest,
    NotFound,
    Overloaded,
    PraxisError,
    RateLimited,
    TooLarge,
    UpstreamError,
    UpstreamTimeout,
)

GUIDED = ("guided_json", "guided_regex", "guided_choice", "guided_grammar")
"""Fields of vLLM's past, which neither engine heeds any more."""

MAX_NAMES = 16
"""Ignored fields that a reply names: what is written there came from the client."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", re.ASCII)
_TOO_LONG = ("context length", "maximum model length", "max_req_total_len", "input prompt token len")
_BAD_REQUEST = (*_TOO_LONG, "is empty", "unrecognized image", "unrecognized audio")


class Dialect:
    """An engine's way of speaking OpenAI's protocol. Subclasses differ where their engine does."""

    kind: str
    health_path = "/health"
    loads_adapters = False
    load_path: str | None = None
    """Where the engine tells its load, if it does."""
    counts_unasked = False
    """Whether the engine sends usage without being asked, so that asking for it would be a needless edit."""

    editor: Editor | None = None
    """Makes the edit that this engine's replies need besides their model's name replaced."""
    answers_any_name = False
    """Whether the engine answers whatever `model` it is asked for, so that only its list tells what it serves."""

    def check(self, path: str, call: Call, images: int) -> None:
        """Raise InvalidRequest for what this engine would silently ignore to the client's harm; `images` is how many
        pictures models.yaml lets a request to the model hold."""

    def load(self, text: str) -> Load | None:
        """What the answer of `load_path` says."""
        return None

    def ignored(self, path: str, call: Call) -> list[str]:
        """The fields that this engine does not heed, harmlessly: the reply names them."""
        return []

    def notes(self, path: str, call: Call) -> bytes:
        """The lines that the head of a good reply has besides its own."""
        if not (ignored := self.ignored(path, call)):
            return b""
        names = [name for name in ignored if _NAME.fullmatch(name)][:MAX_NAMES]
        return f"x-praxis-ignored: {', '.join(names)}\r\n".encode() if names else b""

    def status_of(self, error: Any) -> int:
        """The HTTP status that an error event stands for; engines put it into `code`."""
        code = error.get("code") if isinstance(error, dict) else None
        return code if isinstance(code, int) and 400 <= code < 600 else 502

    def error(self, status: int, body: bytes, retry_after: str | None, backend: str) -> PraxisError:
        """The gateway's error for an answer of the engine that is not a success."""
        message, param, code = read_error(body)
        message = message or f"The engine of backend `{backend}` answered with status {status}."
        wait = seconds(retry_after)
        if status in (401, 403):
            return UpstreamError(
                f"Backend `{backend}` refused the gateway's own key (status {status}); "
                "the operator should check its `api_key_env` in models.yaml."
            )
        if status == 402:
            return UpstreamError(
                f"Backend `{backend}` wants payment (status 402); the operator should see to its account."
            )
        if status < 400:
            return UpstreamError(
                f"Backend `{backend}` answered with status {status}, which is no answer to a call."
            )
        if status == 404:
            return self._not_found(message, param, backend)
        if status == 413:
            return TooLarge(message, param=param)
        if status == 429:
            return RateLimited(message, code=code, retry_after=wait if wait is not None else 1)
        if status == 503:
            return Overloaded(message, retry_after=wait if wait is not None else 2)
        if status in (408, 504):
            return UpstreamTimeout(message)
        if status >= 500:
            return UpstreamError(f"Backend `{backend}` failed: {message}")
        return context_length(InvalidRequest(message, param=param, code=code))

    def _not_found(self, message: str, param: str | None, backend: str) -> PraxisError:
        if param == "model" or "model" in message.lower():
            return UpstreamError(
                f"Backend `{backend}` does not serve the model that it is configured for; "
                "the operator should compare `upstream` in models.yaml with the engine's own /v1/models."
            )
        return NotFound(f"The engine of backend `{backend}` does not have this endpoint.")


def read_error(body: bytes) -> tuple[str, str | None, str | None]:
    """Message, param and code of an error body in any of the shapes that engines send."""
    try:
        data: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", None, None
    if not isinstance(data, dict):
        return "", None, None
    error = data.get("error", data)
    if isinstance(error, str):
        return error, None, None
    if not isinstance(error, dict):
        return "", None, None
    if isinstance(error.get("detail"), list) and error["detail"]:
        return _validation(error["detail"][0])
    message = error.get("message") or error.get("detail")
    param, code = error.get("param"), error.get("code")
    return (
        message if isinstance(message, str) else "",
        param.removeprefix("body.") if isinstance(param, str) else None,
        code if isinstance(code, str) else None,
    )


def _validation(first: Any) -> tuple[str, str | None, str | None]:
    """FastAPI's own 422 body: `{"detail": [{"loc", "msg"}]}`."""
    if not isinstance(first, dict):
        return "", None, None
    path = [str(part) for part in first.get("loc", []) if part != "body"]
    field = ".".join(path) or None
    text = str(first.get("msg", "is not valid"))
    return (f"`{field}`: {text}." if field else f"{text}."), field, None


def describes_bad_request(message: str) -> bool:
    """Whether the lower-case text of an error that came without a status blames the request."""
    return any(words in message for words in _BAD_REQUEST)


def context_length(error: InvalidRequest) -> InvalidRequest:
    """Mark an over-long prompt the way that LangChain recognises it: by the code and in the text too."""
    text = error.message.lower()
    if not any(words in text for words in _TOO_LONG):
        return error
    return InvalidRequest(
        f"{error.message} (context_length_exceeded)", param=error.param, code="context_length_exceeded"
    )


def seconds(retry_after: str | None) -> float | None:
    """A Retry-After in seconds; dates and nonsense count as none."""
    try:
        return max(0.0, float(retry_after)) if retry_after else None
    except ValueError:
        return None
