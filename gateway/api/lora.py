"""vLLM's own calls for LoRA adapters, on the gateway: scripts made for one engine work for a whole fleet. Admin keys only.

Bodies, texts and statuses are vLLM's; what is behind them is the same as `/admin/v1/adapters`.
"""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.adapters.changes import Changes
from gateway.adapters.desired import Author
from gateway.api.adapters import author
from gateway.api.identity import Operator
from praxis.config import Config
from praxis.errors import InvalidRequest, NotFound
from praxis.keys import Principal


class _Body(BaseModel):
    # vLLM takes further fields, of which some mean nothing here, such as `lora_int_id`.
    model_config = ConfigDict(extra="ignore")


class LoadLora(_Body):
    """As vLLM has it. `base_model_name` is needed only where the adapter is new and several models could be meant."""

    lora_name: str = Field(min_length=1)
    lora_path: str = Field(min_length=1)
    load_inplace: bool = False
    base_model_name: str | None = None


class UnloadLora(_Body):
    """As vLLM has it."""

    lora_name: str = Field(min_length=1)


def routes(changes: Changes, config: Callable[[], Config]) -> APIRouter:
    """The router."""
    router = APIRouter(prefix="/v1", tags=["adapters"], default_response_class=PlainTextResponse)

    @router.post("/load_lora_adapter")
    async def load_lora_adapter(body: LoadLora, request: Request, operator: Operator) -> PlainTextResponse:
        """Load an adapter into every replica; other content under a name that is live needs `load_inplace`."""
        name = body.lora_name
        live = changes.base(name)
        base = body.base_model_name or live or _only_base(config())
        if live is not None and not body.load_inplace and not await changes.holds(name, base, body.lora_path):
            raise InvalidRequest(
                f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, "
                "set 'load_inplace' to True.",
                param="lora_name",
            )
        await changes.load(name, base, body.lora_path, _author(request, operator))
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    @router.post("/unload_lora_adapter")
    async def unload_lora_adapter(
        body: UnloadLora, request: Request, operator: Operator
    ) -> PlainTextResponse:
        """Take an adapter out of every replica."""
        name = body.lora_name
        try:
            await changes.unload(name, _author(request, operator))
        except NotFound:
            raise NotFound(f"The lora adapter '{name}' cannot be found.", param="lora_name") from None
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")

    return router


def _author(request: Request, operator: Principal) -> Author:
    return author(request, operator, f"vLLM's {request.url.path}")


def _only_base(config: Config) -> str:
    """The one model that could be meant."""
    bases = [name for name, model in config.models.items() if config.backends[model.backend].kind == "vllm"]
    if len(bases) == 1:
        return bases[0]
    listing = ", ".join(f"`{each}`" for each in bases) or "none"
    raise InvalidRequest(
        f"Several models could be the adapter's base ({listing}); say which with `base_model_name`."
        if bases
        else "No model of models.yaml runs on vLLM, which alone loads adapters at run time.",
        param="base_model_name",
    )
