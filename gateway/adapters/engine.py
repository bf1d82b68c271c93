"""vLLM's runtime LoRA calls. Its success is a line of text, and it refuses a name that is already loaded."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from gateway.backends.dialect import read_error
from gateway.routing.backend import Backend
from gateway.routing.replica import Replica
from praxis.errors import InvalidRequest, PraxisError, UpstreamError

LOAD_SECONDS = 180.0


class Engines:
    """Loads adapters into replicas and takes them out."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def load(self, backend: Backend, replica: Replica, upstream: str, path: str) -> None:
        """Load the adapter folder `path` under the name `upstream`. Raises InvalidRequest with the engine's reason,
        UpstreamError when the engine cannot be asked."""
        response = await self._post(
            backend, replica, "/v1/load_lora_adapter", {"lora_name": upstream, "lora_path": path}
        )
        message = read_error(response.content)[0]
        if response.status_code == 200 or "already been loaded" in message:
            replica.loaded(upstream)
            return
        raise _refusal(backend, response, message)

    async def unload(self, backend: Backend, replica: Replica, upstream: str) -> None:
        """Make `replica` forget `upstream`; one that does not know it is content too."""
        response = await self._post(backend, replica, "/v1/unload_lora_adapter", {"lora_name": upstream})
        message = read_error(response.content)[0]
        if response.status_code != 200 and not (response.status_code == 404 and "cannot be found" in message):
            raise _refusal(backend, response, message)
        replica.unloaded(upstream)

    async def warm(self, backend: Backend, replica: Replica, upstream: str) -> None:
        """Have the merged model `upstream` answer a first tiny request. Raises UpstreamError when it does not."""
        body = {"model": upstream, "prompt": "1", "max_tokens": 1}
        response = await self._post(backend, replica, "/v1/completions", body)
        if response.status_code != 200:
            reason = read_error(response.content)[0] or f"status {response.status_code}"
            raise UpstreamError(f"A replica of backend `{backend.name}` refused a first request: {reason}")

    async def _post(
        self, backend: Backend, replica: Replica, path: str, body: Mapping[str, object]
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {backend.api_key}"} if backend.api_key else {}
        try:
            return await self._client.post(
                replica.url + path, json=body, headers=headers, timeout=LOAD_SECONDS
            )
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise UpstreamError(f"A replica of backend `{backend.name}` did not answer: {reason}.") from error


def _refusal(backend: Backend, response: httpx.Response, message: str) -> PraxisError:
    if response.status_code == 404 and message == "Not Found":
        return InvalidRequest(
            f"The engine of backend `{backend.name}` takes no adapters at run time; start it with `--enable-lora` "
            "and `VLLM_ALLOW_RUNTIME_LORA_UPDATING=1` (in models.yaml: `launch: {enable_lora: true}`).",
            param="base",
        )
    if response.status_code in (401, 403):
        return UpstreamError(f"Backend `{backend.name}` refused the gateway's key; check its `api_key_env`.")
    reason = message or f"status {response.status_code}"
    return InvalidRequest(
        f"The engine of backend `{backend.name}` refused the adapter: {reason}", param="source"
    )
