"""vLLM: 404 for an unknown model, 503 when full, usage only when asked, LoRA adapters at run time."""

from __future__ import annotations

from gateway.backends.dialect import Dialect
from gateway.backends.load import Load, read_load


class VLLM(Dialect):
    kind = "vllm"
    loads_adapters = True
    load_path = "/metrics"

    def load(self, text: str) -> Load | None:
        return read_load(
            text,
            running="vllm:num_requests_running",
            waiting="vllm:num_requests_waiting",
            tokens=("vllm:generation_tokens_total", "vllm:prompt_tokens_total"),
        )
