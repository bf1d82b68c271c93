"""LightLLM: answers any model name, 422 for a bad request, 429 when full, usage always, no adapters, no keys."""

from __future__ import annotations

from gateway.backends.dialect import Dialect
from gateway.backends.load import Load, read_load
from gateway.proxy.call import Call
from praxis.errors import InvalidRequest

_IGNORED = ("logprobs", "top_logprobs", "min_p", "structured_outputs")


class LightLLM(Dialect):
    kind = "lightllm"
    counts_unasked = True
    load_path = "/metrics"

    def load(self, text: str) -> Load | None:
        return read_load(
            text,
            running="lightllm_num_running_reqs",
            waiting="lightllm_queue_size",
            tokens=("lightllm_generation_tokens_total", "lightllm_prompt_tokens_total"),
        )

    def check(self, call: Call) -> None:
        for field in _IGNORED:
            if call.data.get(field):
                raise InvalidRequest(
                    f"The model `{call.model}` runs on LightLLM, which ignores `{field}`; leave it out "
                    "or choose a model on another backend.",
                    param=field,
                )
