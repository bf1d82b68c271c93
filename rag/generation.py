"""The way to a model: chat completions over HTTP from the gateway, which routes, retries and counts them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any

import httpx

from praxis.errors import UpstreamError, UpstreamTimeout

SILENCE = 600.0
"""Seconds without a byte after which a request is given up; the gateway's own, shorter timeouts come first."""

_WINDOWS_FRESH = 60.0  # seconds for which the models' window sizes are believed
_TOO_LONG = re.compile(
    r"context_length_exceeded|maximum context length|max_model_len|context window|longer than the maximum",
    re.IGNORECASE,
)
_PASSED_HEADERS = ("retry-after", "x-should-retry")


class Refused(Exception):
    """The gateway answered with an error in the one shape; it goes to the client as it is."""

    def __init__(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(f"generation refused with status {status}")
        self.status = status
        self.content = content
        self.headers = {name: headers[name] for name in _PASSED_HEADERS if name in headers}

    @property
    def too_long(self) -> bool:
        """Whether it was refused because prompt and answer exceed the model's window."""
        return self.status == 400 and _TOO_LONG.search(self.content.decode(errors="replace")) is not None


class Reply:
    """A streaming completion whose headers have arrived. Close it at any moment to stop the model."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    async def events(self) -> AsyncIterator[bytes]:
        """The `data` of each server-sent event, `[DONE]` included. Raises UpstreamError when the stream breaks."""
        buffer = b""
        try:
            async for piece in self._response.aiter_bytes():
                # Only line feeds end a line here: str.splitlines would also split inside a JSON string.
                *lines, buffer = (buffer + piece).split(b"\n")
                for line in lines:
                    if line.startswith(b"data:"):
                        yield line[5:].strip()
        except httpx.HTTPError as error:
            raise UpstreamError(
                f"The stream from the model broke off ({_cause(error)}). Ask again."
            ) from error

    async def aclose(self) -> None:
        await self._response.aclose()


class Generation:
    """Chat completions from the gateway at `url`, in the name of rag, by their shared `secret`."""

    def __init__(self, url: str, secret: str) -> None:
        self._url = url.rstrip("/")
        self._client = httpx.AsyncClient(
            base_url=self._url,
            headers={"authorization": f"Bearer {secret}"},
            timeout=httpx.Timeout(SILENCE, connect=5.0),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
            trust_env=False,
        )
        self._windows: dict[str, int] = {}
        self._windows_read = -_WINDOWS_FRESH

    async def __aenter__(self) -> Generation:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def open(self, body: Mapping[str, Any], asker: Mapping[str, str]) -> Reply:
        """Start a streaming completion. `asker` holds the headers that say who asks.

        Raises Refused, or UpstreamError or UpstreamTimeout where the gateway does not answer at all.
        """
        return Reply(await self._post(body, asker))

    async def complete(self, body: Mapping[str, Any], asker: Mapping[str, str]) -> dict[str, Any]:
        """A whole completion; raises as `open` does."""
        response = await self._post(body, asker)
        try:
            completion = json.loads(await response.aread())
        except httpx.HTTPError as error:
            raise UpstreamError(f"The reply of the model broke off ({_cause(error)}). Ask again.") from error
        except ValueError as error:
            raise UpstreamError("The reply of the model is not JSON. Look at the engine's log.") from error
        finally:
            await response.aclose()
        if not isinstance(completion, dict) or not completion.get("choices"):
            raise UpstreamError("The reply of the model is no chat completion. Look at the engine's log.")
        return completion

    async def window(self, model: str) -> int | None:
        """The model's context in tokens (`max_model_len`), where the gateway lists it."""
        if time.monotonic() - self._windows_read >= _WINDOWS_FRESH:
            self._windows_read = time.monotonic()
            try:
                listed = (await self._client.get("/v1/models", timeout=5.0)).raise_for_status().json()["data"]
                self._windows = {
                    each["id"]: each["max_model_len"] for each in listed if each.get("max_model_len")
                }
            except (httpx.HTTPError, ValueError, KeyError, TypeError):
                pass  # the last known sizes serve; without any, the caller's assumption does
        return self._windows.get(model)

    async def _post(self, body: Mapping[str, Any], asker: Mapping[str, str]) -> httpx.Response:
        request = self._client.build_request("POST", "/v1/chat/completions", json=body, headers=dict(asker))
        try:
            response = await self._client.send(request, stream=True)
            if response.is_success:
                return response
            try:
                content = await response.aread()
            finally:
                await response.aclose()
        except httpx.TimeoutException as error:
            raise UpstreamTimeout(
                f"The gateway at `{self._url}` gave no answer in time; ask again."
            ) from error
        except httpx.HTTPError as error:
            raise UpstreamError(
                f"The gateway at `{self._url}` cannot be reached for generation ({_cause(error)}); "
                "check that it runs and that `PRAXIS_GATEWAY_URL` names it."
            ) from error
        if response.status_code == 401:
            raise UpstreamError(
                f"The gateway at `{self._url}` refuses rag's secret; give both processes the same `rag.secret_env`."
            )
        if not _has_error(content):
            raise UpstreamError(
                f"The gateway at `{self._url}` answered {response.status_code} without an error object."
            )
        raise Refused(response.status_code, content, response.headers)


def _has_error(content: bytes) -> bool:
    try:
        document = json.loads(content)
    except ValueError:
        return False
    return isinstance(document, dict) and isinstance(document.get("error"), dict)


def _cause(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__
