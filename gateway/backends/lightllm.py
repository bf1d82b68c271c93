"""LightLLM: answers any model name, 422 for a bad request, 429 when full, usage always, no adapters, no keys.

It drops what it does not know without a word. What would make the answer another than the one asked for is refused
here; what merely goes unheeded is named in the reply's `x-praxis-ignored`.
"""

from __future__ import annotations

from typing import Any

from gateway.backends.dialect import GUIDED, Dialect, describes_bad_request
from gateway.backends.load import Load, read_load
from gateway.proxy.call import Call
from gateway.proxy.responses import PATH as RESPONSES
from praxis.errors import InvalidRequest, Overloaded, PraxisError

_COMMON = {
    "model", "stream", "stream_options", "n", "stop", "max_tokens", "max_completion_tokens",
    "temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "repetition_penalty",
    "logit_bias", "user", "response_format", "seed", "do_sample", "ignore_eos",
}  # fmt: skip
_CHAT = _COMMON | {
    "messages", "tools", "tool_choice", "parallel_tool_calls", "function_call", "reasoning_effort",
    "chat_template_kwargs", "separate_reasoning", "stream_reasoning", "role_settings",
    "character_settings",
}  # fmt: skip
_COMPLETION = _COMMON | {"prompt", "suffix", "logprobs", "echo", "best_of"}

_DECISIVE = (
    "logprobs", "top_logprobs", "min_p", "structured_outputs", "stop_token_ids", "bad_words",
    "allowed_token_ids", "min_tokens", "logprob_token_ids", "prompt_logprobs", "use_beam_search",
    "continue_final_message", "chat_template", "documents", "functions", "audio", "web_search_options",
    "echo",
    *GUIDED,
)  # fmt: skip
"""Fields whose silent loss would make the answer another one, wherever their value asks for anything."""

_BUSY = "server is busy"


class LightLLM(Dialect):
    """`constrained`: started with `--output_constraint_mode xgrammar` or `outlines`, which `response_format` needs."""

    kind = "lightllm"
    counts_unasked = True
    load_path = "/metrics"
    answers_any_name = True

    def __init__(self, *, constrained: bool = False) -> None:
        self._constrained = constrained

    def check(self, path: str, call: Call, images: int) -> None:
        if path == RESPONSES:
            raise InvalidRequest(
                f"The model `{call.model}` runs on LightLLM, which has no `/v1/responses`; use `/v1/chat/completions`, give "
                "the tool `file_search`, or choose a model on another backend.",
                param="model",
            )
        known = _known(path)
        for field in _DECISIVE:
            if field not in known and call.data.get(field):
                raise _refusal(call, field)
        if "logprobs" in known and call.stream and call.data.get("logprobs") is not None:
            raise _refusal(call, "logprobs", "leaves `logprobs` empty in a stream; ask without `stream`")
        if "prompt" in known and not call.stream and call.data.get("n") not in (None, 1):
            raise _refusal(call, "n", "writes several completions (`n`) into one; ask for them one by one")
        if not images and _shows_pictures(call.data.get("messages")):
            raise _refusal(
                call,
                "messages",
                "answers as if a picture in `messages` were not there where the model sees none; leave it out, or choose a "
                "model that sees pictures. Where this one does, the operator says so by `images: …` in models.yaml",
            )
        if not self._constrained and _format(call.data) in ("json_object", "json_schema"):
            raise _refusal(
                call,
                "response_format",
                "does not hold an answer to `response_format` as it was started; ask in words, or choose a model on "
                "another backend. The operator can start it with `--output_constraint_mode xgrammar` and set "
                "`structured_outputs: true` on its backend in models.yaml",
            )

    def load(self, text: str) -> Load | None:
        return read_load(
            text,
            running="lightllm_num_running_reqs",
            waiting="lightllm_queue_size",
            tokens=("lightllm_generation_tokens_total", "lightllm_prompt_tokens_total"),
        )

    def ignored(self, path: str, call: Call) -> list[str]:
        known = _known(path)
        names = [name for name, value in call.data.items() if name not in known and value is not None]
        # The tools are offered to the model, but nothing makes it call one.
        if call.data.get("tool_choice") not in (None, "auto", "none"):
            names.append("tool_choice")
        return [name for name in names if name not in _DECISIVE]

    def error(self, status: int, body: bytes, retry_after: str | None, backend: str) -> PraxisError:
        error = super().error(status, body, retry_after, backend)
        if status == 429:
            return Overloaded(error.message, retry_after=error.retry_after)
        return error

    def status_of(self, error: Any) -> int:
        """Without a delayed start LightLLM reports everything after the head, and its code tells no status."""
        given = error if isinstance(error, dict) else {"message": error}
        message = str(given.get("message")).lower()
        if _BUSY in message:
            return 503
        if given.get("type") == "invalid_request_error" or describes_bad_request(message):
            return 400
        return super().status_of(error)


def _known(path: str) -> set[str]:
    return _CHAT if path.endswith("/chat/completions") else _COMPLETION


def _shows_pictures(messages: Any) -> bool:
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and part.get("type") == "image_url":
                return True
    return False


def _format(data: dict[str, Any]) -> Any:
    wanted = data.get("response_format")
    return wanted.get("type") if isinstance(wanted, dict) else None


def _refusal(call: Call, field: str, why: str = "") -> InvalidRequest:
    why = why or f"ignores `{field}`; leave it out or choose a model on another backend"
    return InvalidRequest(f"The model `{call.model}` runs on LightLLM, which {why}.", param=field)
