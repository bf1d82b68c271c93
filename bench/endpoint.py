"""The gateway under test, as a patient client: every way to fail is named, pauses are made, a late start is waited for."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
import typer

from praxis.errors import ConfigError, NotAuthenticated, NotFound, Problem, UpstreamError

_ATTEMPTS = 3
_LONGEST_PAUSE = 30.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Failure(Exception):
    """A request that got no answer.

    `kind` is one of timeout, refused, disconnected, invalid (the reply is not what was asked for), empty
    (it has no text) or http_ and the status.
    """

    def __init__(self, kind: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Reply:
    """A JSON object, and the adapter's revision that answered, where one did."""

    body: dict[str, Any]
    revision: str | None


class Gateway:
    """The gateway under test. `timeout` bounds one answer, `patience` how long nobody may listen (seconds)."""

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        timeout: float,
        patience: float,
        connections: int,
        notice: Callable[[str], None],
    ) -> None:
        """Raises ConfigError when `url` and `key` make no request. `notice` is told what is being waited for."""
        self.url = url.rstrip("/").removesuffix("/v1")
        try:
            parsed = httpx.URL(self.url)
            headers = httpx.Headers(
                {b"authorization": f"Bearer {key.strip()}".encode("ascii")} if key else {}
            )
        except httpx.InvalidURL:
            raise _unusable(f"`{url}` is no URL") from None
        except UnicodeEncodeError:
            raise _unusable("the key in PRAXIS_API_KEY has letters that no key has") from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise _unusable(f"`{url}` is no URL; give one such as http://127.0.0.1:8080")
        self._timeout = timeout
        self._patience = patience
        self._notice = notice
        self._refused_since: float | None = None
        self._client = httpx.AsyncClient(
            base_url=self.url,
            headers=headers,
            timeout=httpx.Timeout(timeout, connect=10, pool=None),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            # Reading the authorities takes longer than many requests, and plain HTTP asks none.
            verify=parsed.scheme == "https",
            # A proxy of the environment is for the world outside, never for this machine.
            trust_env=parsed.host not in _LOOPBACK,
        )

    @classmethod
    def from_environment(cls, url: str, *, timeout: float, patience: float, connections: int) -> Self:
        """As commands ask it: with the key in PRAXIS_API_KEY, and what is waited for told on stderr."""
        return cls(
            url,
            os.environ.get("PRAXIS_API_KEY"),
            timeout=timeout,
            patience=patience,
            connections=connections,
            notice=partial(typer.echo, err=True),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def check(self, targets: Sequence[str]) -> None:
        """Raises PraxisError when nobody listens, the key is refused or the gateway does not know a target."""
        known = await self._models()
        unlisted = [each for each in targets if each not in known]
        unknown = [f"`{each}`" for each in unlisted if not await self._knows(each)]
        if unknown:
            listing = ", ".join(f"`{each}`" for each in sorted(known)) or "none"
            raise NotFound(f"The gateway does not know {', '.join(unknown)}; it knows {listing}.")

    async def _knows(self, target: str) -> bool:
        """Whether the gateway knows a name that it does not list, as it lists no revision."""
        try:
            card = await self.request("GET", f"/v1/models/{quote(target)}")
        except Failure as failure:
            if failure.kind.startswith("http_4"):
                return False
            raise UpstreamError(
                f"The gateway does not tell whether it knows `{target}`: {failure.message}"
            ) from None
        return card.get("id") == target

    async def _models(self) -> list[str]:
        try:
            reply = await self.request("GET", "/v1/models")
        except Failure as failure:
            if failure.kind in ("http_401", "http_403"):
                raise NotAuthenticated(
                    f"The gateway at `{self.url}` refuses the key: {failure.message} Set PRAXIS_API_KEY."
                ) from None
            advice = "Start it with `praxis up`, or give its `--url`."
            raise UpstreamError(f"The gateway does not list its models: {failure.message} {advice}") from None
        data = reply.get("data")
        return [str(each.get("id")) for each in data] if isinstance(data, list) else []

    async def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The JSON object that the gateway replies with. Raises Failure, as `reply` does."""
        return (await self.reply(method, path, body)).body

    async def reply(self, method: str, path: str, body: dict[str, Any] | None = None) -> Reply:
        """What the gateway replies.

        Raises Failure. Pauses that the gateway asks for are made, and bounded; that nobody listens is waited out.
        """
        attempt = 0
        while True:
            try:
                return await self._once(method, path, body)
            except Failure as failure:
                if failure.kind == "refused":
                    if not self._may_wait():
                        raise
                    await asyncio.sleep(min(1.0, self._patience / 4))
                    continue
                attempt += 1
                if attempt == _ATTEMPTS or failure.kind not in ("disconnected", "http_429", "http_503"):
                    raise
                pause = 0.2 * 2**attempt if failure.retry_after is None else failure.retry_after
                await asyncio.sleep(min(pause, _LONGEST_PAUSE))

    def _may_wait(self) -> bool:
        """Whether nobody has listened for less than the patience; all questions in flight share the clock."""
        if self._refused_since is None:
            self._refused_since = time.monotonic()
            self._notice(f"Nobody listens at {self.url}; waiting up to {self._patience:g} s.")
        return time.monotonic() - self._refused_since < self._patience

    async def _once(self, method: str, path: str, body: dict[str, Any] | None) -> Reply:
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self._client.request(method, path, json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Failure(
                "refused", f"nobody answers at `{self.url}` ({error or 'no connection'})."
            ) from None
        except (httpx.TimeoutException, TimeoutError):
            raise Failure("timeout", f"No answer within {self._timeout:g} s.") from None
        except httpx.TransportError as error:
            raise Failure("disconnected", f"The connection broke: {error}.") from None
        self._refused_since = None
        if reply.status_code != 200:
            raise Failure(f"http_{reply.status_code}", _reason(reply), retry_after=_retry_after(reply))
        try:
            value = reply.json()
        except ValueError:
            raise Failure("invalid", "The reply is no JSON.") from None
        if not isinstance(value, dict):
            raise Failure("invalid", "The reply is no JSON object.")
        return Reply(value, reply.headers.get("x-praxis-revision"))


def _unusable(message: str) -> ConfigError:
    return ConfigError("--url", [Problem(None, "", message)])


def _reason(reply: httpx.Response) -> str:
    try:
        message = reply.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = reply.text
    return f"HTTP {reply.status_code}: {str(message)[:300]}"


def _retry_after(reply: httpx.Response) -> float | None:
    try:
        return max(0.0, float(reply.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
