"""Every error that Praxis raises on purpose.

    PraxisError
    ├── ConfigError          models.yaml is wrong (exit code 2, never sent over HTTP)
    ├── InvalidRequest       400 invalid_request_error
    ├── NotAuthenticated     401 authentication_error
    ├── NotPermitted         403 permission_error
    ├── NotFound             404 not_found_error
    │   └── ModelNotFound        (code model_not_found)
    ├── Conflict             409 conflict_error        x-should-retry: false
    ├── TooLarge             413 request_too_large
    ├── RateLimited          429 rate_limit_error      Retry-After
    ├── InternalError        500 internal_error
    ├── UpstreamError        502 upstream_error
    ├── Overloaded           503 overloaded_error      Retry-After
    └── UpstreamTimeout      504 timeout_error

The message says what is wrong and what to do about it, in English, and names the thing in backticks.
On the wire each is ``{"error": {"message", "type", "param", "code"}}``, the shape that the OpenAI SDKs read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


class PraxisError(Exception):
    """The root of the tree; `status` and `type` are what a client sees of the subclass.

    `param` names the request field at fault, `code` the OpenAI error code, and `retry_after` (seconds)
    becomes the Retry-After header.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """The JSON object that a client receives."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """The response headers that tell an SDK whether and when to try again."""
        return {} if self.retry_after is None else {"retry-after": f"{self.retry_after:g}"}


class InvalidRequest(PraxisError):
    status = 400
    type = "invalid_request_error"


class NotAuthenticated(PraxisError):
    status = 401
    type = "authentication_error"

    def headers(self) -> dict[str, str]:
        return super().headers() | {"www-authenticate": "Bearer"}


class NotPermitted(PraxisError):
    status = 403
    type = "permission_error"


class NotFound(PraxisError):
    status = 404
    type = "not_found_error"


class ModelNotFound(NotFound):
    """The request's `model` is none of the names that the asker's key may use."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        listing = ", ".join(f"`{each}`" for each in sorted(known)) or "none"
        super().__init__(
            f"The model `{name}` does not exist here. Use one of: {listing}.",
            param="model",
            code="model_not_found",
        )


class Conflict(PraxisError):
    """The request contradicts the present state; asking again cannot help, so SDKs are told not to."""

    status = 409
    type = "conflict_error"

    def headers(self) -> dict[str, str]:
        return super().headers() | {"x-should-retry": "false"}


class TooLarge(PraxisError):
    status = 413
    type = "request_too_large"


class RateLimited(PraxisError):
    """A limit is reached; `more` are response headers that tell of it."""

    status = 429
    type = "rate_limit_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retry_after: float | None = None,
        more: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, code=code, retry_after=retry_after)
        self._more = dict(more or {})

    def headers(self) -> dict[str, str]:
        return super().headers() | self._more


class InternalError(PraxisError):
    """A defect of Praxis itself; the details are in the log under the request's id."""


class UpstreamError(PraxisError):
    status = 502
    type = "upstream_error"


class Overloaded(PraxisError):
    status = 503
    type = "overloaded_error"


class UpstreamTimeout(PraxisError):
    status = 504
    type = "timeout_error"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration file: where it is (1-based line, dotted field) and what to write instead."""

    line: int | None
    field: str
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        return f"{where}{self.field}: {self.message}" if self.field else f"{where}{self.message}"


class ConfigError(PraxisError):
    """A configuration file cannot be used; `problems` lists every mistake found, not only the first."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join([f"`{source}` is not usable:", *(f"  {each}" for each in self.problems)]))
