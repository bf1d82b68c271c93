"""One module per dialect: the only place that knows an engine's quirks."""

from __future__ import annotations

from gateway.backends.dialect import Dialect
from gateway.backends.lightllm import LightLLM
from gateway.backends.openai import OpenAI
from gateway.backends.vllm import VLLM

_DIALECTS: dict[str, Dialect] = {"vllm": VLLM(), "lightllm": LightLLM(), "openai": OpenAI()}
_CONSTRAINED = LightLLM(constrained=True)


def dialect(kind: str, *, constrained: bool = False) -> Dialect:
    """The dialect of a backend's `kind` in models.yaml; `constrained` is a LightLLM that heeds `response_format`."""
    return _CONSTRAINED if constrained else _DIALECTS[kind]


__all__ = ["Dialect", "dialect"]
