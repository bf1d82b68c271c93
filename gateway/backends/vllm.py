"""vLLM: 404 for an unknown model, 503 when full, usage only when asked, LoRA adapters at run time."""

from __future__ import annotations

from gateway.backends.dialect import Dialect


class VLLM(Dialect):
    kind = "vllm"
    loads_adapters = True
