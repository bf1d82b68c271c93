"""A fake of what is neither vLLM nor LightLLM: a hosted API, with the habits that such servers have.

It wants a key, answers under a dated name of the model, calls the thinking `reasoning_content`, escapes `<` and `>` in its
JSON, ends lines in CRLF, sends comments while it works, and its errors carry codes in words.
"""

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

from tests.fakes.engine import Answer, Engine, Seen, as_stream
from tests.fakes.faults import Script
from tests.fakes.saying import Said, said
from tests.fakes.shapes import chat_logprobs, embeddings, usage

CODES = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("insufficient_quota", "insufficient_quota"),
    500: ("server_error", None),
    503: ("service_unavailable_error", None),
}
MAX_TOKENS = 16_384
DIMENSIONS = 4


def dumps(value: object) -> bytes:
    """JSON as servers written in Go give it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").encode()


def event(value: object) -> bytes:
    """One server-sent event."""
    return b"data: " + dumps(value) + b"\r\n\r\n"


class OpenAIServer(Engine):
    """A fake hosted API that serves `model` to those who know `api_key`."""

    server = "cloudflare"

    def __init__(
        self,
        model: str = "qwen",
        *,
        says: tuple[str, ...] = ("Overtime", " pay", " is", " 150%", "。"),
        thinks: tuple[str, ...] = (),
        api_key: str | None = None,
        script: Script | None = None,
    ) -> None:
        super().__init__(script=script)
        self.model = model
        self.says = says
        self.thinks = thinks
        self.api_key = api_key

    def refusal(self, code: int, message: str) -> object:
        kind, word = CODES.get(code, CODES[400])
        return {"error": {"message": message, "type": kind, "param": None, "code": word}}

    def answer(self, request: Seen) -> Answer:
        if self.api_key is not None and request.header("authorization") != f"Bearer {self.api_key}":
            return _json(self.refusal(401, "Incorrect API key provided."), 401)
        if request.path == "/v1/models":
            card = {"id": self.model, "object": "model", "created": 1, "owned_by": "system"}
            return _json({"object": "list", "data": [card]})
        serve = {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._completion,
            "/v1/embeddings": self._embeddings,
        }.get(request.path)
        if serve is None:
            return _json(self.refusal(404, f"Invalid URL ({request.method} {request.path})"), 404)
        body = json.loads(request.body)
        if body.get("model") != self.model:
            return _json(self.refusal(404, f"The model `{body.get('model')}` does not exist."), 404)
        if request.path.endswith("/chat/completions") and not isinstance(body.get("messages"), list):
            message = "Invalid type for 'messages': expected an array of objects."
            return _json(self.refusal(400, message), 400)
        return serve(body)

    def _said(self, body: dict[str, Any]) -> Said:
        return said(body, self.says, self.thinks, MAX_TOKENS, calls_tools=self.calls_tools)

    def _beginning(self, prefix: str, kind: str) -> dict[str, Any]:
        return {
            "id": f"{prefix}-{secrets.token_urlsafe(18)}", "object": kind, "created": int(time.time()),
            "model": f"{self.model}-2026-08-06",
        }  # fmt: skip

    def _chat(self, body: dict[str, Any]) -> Answer:
        answer = self._said(body)
        if body.get("stream"):
            return as_stream(self._chat_events(body, answer))
        calls = [
            {"id": f"call_{secrets.token_hex(12)}", "type": "function",
             "function": {"name": call.name, "arguments": "".join(call.arguments)}}
            for call in answer.calls
        ]  # fmt: skip
        message = {
            "role": "assistant", "content": None if calls else "".join(answer.words), "refusal": None,
            "annotations": [], **({"tool_calls": calls} if calls else {}),
            **({"reasoning_content": "".join(answer.thinks)} if answer.thinks else {}),
        }  # fmt: skip
        choices = [
            {"index": index, "message": message, "logprobs": _logprobs(body, answer.words),
             "finish_reason": answer.reason}
            for index in range(body.get("n") or 1)
        ]  # fmt: skip
        head = self._beginning("chatcmpl", "chat.completion")
        return _json({**head, "choices": choices, "usage": usage(body, answer), "service_tier": "default"})

    def _chat_events(self, body: dict[str, Any], answer: Said) -> Iterator[bytes]:
        head = self._beginning("chatcmpl", "chat.completion.chunk")
        counted = bool((body.get("stream_options") or {}).get("include_usage"))
        extra = {"usage": None} if counted else {}
        yield b": processing\r\n\r\n"
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", "refusal": None}]
        deltas += [{"content": None, "reasoning_content": token} for token in answer.thinks]
        deltas += [{"content": word} for word in answer.words]
        for index, call in enumerate(answer.calls):
            function = {"name": call.name, "arguments": ""}
            first = {
                "index": index,
                "id": f"call_{secrets.token_hex(12)}",
                "type": "function",
                "function": function,
            }
            deltas.append({"tool_calls": [first]})
            deltas += [
                {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
                for piece in call.arguments
            ]
        for delta in [*deltas, {}]:
            probs = _logprobs(body, (delta["content"],)) if delta.get("content") else None
            reason = None if delta else answer.reason
            for index in range(body.get("n") or 1):
                choice = {"index": index, "delta": delta, "logprobs": probs, "finish_reason": reason}
                yield event({**head, "choices": [choice], **extra})
        if counted:
            yield event({**head, "choices": [], "usage": usage(body, answer)})
        yield b"data: [DONE]\r\n\r\n"

    def _completion(self, body: dict[str, Any]) -> Answer:
        answer = self._said({key: value for key, value in body.items() if key != "tools"})
        head = self._beginning("cmpl", "text_completion")
        if body.get("stream"):
            return as_stream(self._completion_events(body, head, answer))
        prompt = body.get("prompt")
        several = isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list)
        choices = [
            {"text": "".join(answer.words), "index": index, "logprobs": None, "finish_reason": answer.reason}
            for index in range(len(prompt) if several else 1)
        ]
        return _json({**head, "choices": choices, "usage": usage(body, answer)})

    def _completion_events(self, body: dict[str, Any], head: dict[str, Any], answer: Said) -> Iterator[bytes]:
        for number, word in enumerate(answer.words, start=1):
            reason = answer.reason if number == len(answer.words) else None
            choice = {"text": word, "index": 0, "logprobs": None, "finish_reason": reason}
            yield event({**head, "choices": [choice]})
        if (body.get("stream_options") or {}).get("include_usage"):
            yield event({**head, "choices": [], "usage": usage(body, answer)})
        yield b"data: [DONE]\r\n\r\n"

    def _embeddings(self, body: dict[str, Any]) -> Answer:
        data = embeddings(body, [0.5] * DIMENSIONS)
        counts = {"prompt_tokens": 3, "total_tokens": 3}
        return _json({"object": "list", "data": data, "model": f"{self.model}-2026-08-06", "usage": counts})


def _json(body: object, code: int = 200) -> Answer:
    return Answer(code, [dumps(body)])


def _logprobs(body: dict[str, Any], words: tuple[str, ...]) -> dict[str, Any] | None:
    probs = chat_logprobs(body, words)
    return probs and {**probs, "refusal": None}
