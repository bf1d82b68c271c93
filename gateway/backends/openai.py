"""Any other server that speaks OpenAI's protocol."""

from __future__ import annotations

from gateway.backends.dialect import Dialect


class OpenAI(Dialect):
    kind = "openai"
    health_path = "/v1/models"
