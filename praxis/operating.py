"""How an operator's commands speak to a running gateway."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from praxis.errors import InvalidRequest, PraxisError, UpstreamError

URL = "http://127.0.0.1:8080"
UrlOption = Annotated[str, typer.Option("--url", envvar="PRAXIS_GATEWAY_URL", help="The gateway.")]


def call(
    method: str,
    url: str,
    path: str,
    body: dict[str, Any] | None = None,
    params: dict[str, str] | None = None,
) -> Any:
    """The JSON with which the gateway at `url` answers the admin key of `PRAXIS_API_KEY`. Raises the error that it answers
    with, or UpstreamError where it does not."""
    import httpx

    key = os.environ.get("PRAXIS_API_KEY")
    if not key:
        raise InvalidRequest(
            "Set `PRAXIS_API_KEY` to an admin key; `praxis keys create NAME --admin` makes one."
        )
    try:
        response = httpx.request(
            method,
            url.rstrip("/") + path,
            json=body,
            params=params,
            headers={"authorization": f"Bearer {key}"},
            timeout=300,
        )
    except httpx.HTTPError as error:
        raise UpstreamError(
            f"The gateway at `{url}` cannot be reached ({error}); is `praxis up` running?"
        ) from None
    if response.is_success:
        return response.json()
    try:
        message = response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = f"the gateway answered with status {response.status_code}"
    raise PraxisError(message)
