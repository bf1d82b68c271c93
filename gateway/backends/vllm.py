"""vLLM: 404 for an unknown model, 503 when full, usage only when asked, LoRA adapters at run time."""

from __future__ import annotations

from gateway.backends.dialect import GUIDED, Dialect
from gateway.backends.load import Load, read_load
from gateway.proxy.call import Call

_GONE = frozenset(GUIDED)


class VLLM(Dialect):
    kind = "vllm"
    loads_adapters = True
    load_path = "/metrics"

    def ignored(self, path: str, call: Call) -> list[str]:
        """vLLM has `structured_outputs` in place of these, and answers them unconstrained with no more than a log line."""
        if _GONE.isdisjoint(call.data):
            return []
        return [name for name in GUIDED if call.data.get(name) is not None]

    def load(self, text: str) -> Load | None:
        return read_load(
            text,
            running="vllm:num_requests_running",
            waiting="vllm:num_requests_waiting",
            tokens=("vllm:generation_tokens_total", "vllm:prompt_tokens_total"),
        )
