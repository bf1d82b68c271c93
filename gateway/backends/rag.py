"""The document process, seen as one more engine: it already speaks the gateway's own error shape."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.backends.dialect import Dialect, seconds
from praxis.errors import PraxisError, UpstreamError


class Relayed(PraxisError):
    """An error of the document process, passed on with its own status and body."""

    def __init__(self, status: int, error: dict[str, Any], retry_after: float | None) -> None:
        super().__init__(
            str(error.get("message")),
            param=error.get("param"),
            code=error.get("code"),
            retry_after=retry_after,
        )
        self.status = status  # type: ignore[misc]
        self.type = str(error.get("type"))  # type: ignore[misc]


class Rag(Dialect):
    kind = "rag"
    counts_unasked = True

    def error(self, status: int, body: bytes, retry_after: str | None, backend: str) -> PraxisError:
        try:
            error = orjson.loads(body)["error"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return UpstreamError(
                f"The document process answered with status {status}; its log has the reason."
            )
        if status == 401:
            return UpstreamError(
                "The document process refused the gateway; both need the same `rag.secret_env`."
            )
        return Relayed(status, error, seconds(retry_after))
