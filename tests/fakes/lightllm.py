"""A fake LightLLM 1.2: whatever `model` it is asked for, it answers; usage always; 422, 429 and bare-integer ids.

It follows LightLLM's source (2026-08), which runs on GPUs only, so no test can hold it against a real one.
"""

import itertools
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

from tests.fakes.engine import Answer, Engine, Seen, as_json, as_stream
from tests.fakes.faults import DONE, Script, sse

TYPES = {400: "BadRequestError", 404: "NotFoundError", 429: "RateLimitError", 500: "InternalServerError"}
EFFORTS = ("low", "medium", "high")


class Invalid(Exception):
    """What pydantic found wrong: FastAPI's own 422."""

    def __init__(self, kind: str, loc: tuple[str, ...], msg: str, given: object) -> None:
        super().__init__(msg)
        self.body = {"detail": [{"type": kind, "loc": ["body", *loc], "msg": msg, "input": given}]}


class Refused(Exception):
    """An error that LightLLM raises itself: a plain 400."""


class LightLLM(Engine):
    """A fake LightLLM that has loaded `model`; `says` are the tokens of every answer."""

    idle = 10.0

    def __init__(
        self,
        model: str = "qwen",
        *,
        says: tuple[str, ...] = ("Overtime", " pay", " is", " 150%", "。"),
        thinks: tuple[str, ...] = (),
        held: bool = True,
        script: Script | None = None,
    ) -> None:
        super().__init__(script=script)
        self.model = model
        self.says = says
        self.thinks = thinks
        self.held = held
        "response start delayed to the first token, as newer versions do"
        self.created = int(time.time())
        self._ids = itertools.count(8)

    def refusal(self, code: int, message: str) -> object:
        if code == 422:
            return Invalid("value_error", ("messages",), message, None).body
        kind = TYPES.get(code, "InternalServerError")
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}

    def answer(self, request: Seen) -> Answer:
        open_routes: dict[str, Any] = {
            "/health": {"message": "Ok"},
            "/healthz": {"message": "Ok"},
            "/liveness": {"status": "ok"},
            "/readiness": {"status": "ok"},
            "/get_model_name": {"model_name": self.model},
            "/token_load": {"current_load": 0.0, "logical_max_load": 0.0, "dynamic_max_load": 0.0},
            "/v1/models": {"object": "list", "data": [self._card()]},
        }
        posts = {"/v1/chat/completions": self._chat, "/v1/completions": self._completion}
        if request.path == "/metrics":
            return Answer(200, [b"lightllm_queue_size 0.0\nlightllm_num_running_reqs 0.0\n"], ())
        if request.path in open_routes and request.method == "GET":
            return as_json(open_routes[request.path])
        if request.path not in posts or request.method != "POST":
            known = request.path in posts or request.path in open_routes
            return as_json({"detail": "Method Not Allowed" if known else "Not Found"}, 405 if known else 404)
        try:
            return posts[request.path](self._body(request))
        except Invalid as invalid:
            return as_json(invalid.body, 422)
        except Refused as refused:
            return as_json(self.refusal(400, str(refused)), 400)

    def _card(self) -> dict[str, Any]:
        return {
            "id": self.model, "object": "model", "created": self.created, "owned_by": "lightllm",
            "max_model_len": 4096,
        }  # fmt: skip

    def _body(self, request: Seen) -> dict[str, Any]:
        try:
            body: dict[str, Any] = json.loads(request.body)
        except json.JSONDecodeError as error:
            raise Invalid("json_invalid", (str(error.pos),), "JSON decode error", {}) from error
        if not isinstance(body.get("model", "default"), str):
            raise Invalid("string_type", ("model",), "Input should be a valid string", body["model"])
        if body.get("reasoning_effort") not in (None, *EFFORTS):
            message = "Input should be 'low', 'medium' or 'high'"
            raise Invalid("literal_error", ("reasoning_effort",), message, body["reasoning_effort"])
        if body.get("logit_bias"):
            raise Refused("The logit_bias parameter is not currently supported")
        return body

    def _spoken(self, body: dict[str, Any]) -> tuple[list[str], str]:
        limit = body.get("max_completion_tokens") or body.get("max_tokens") or 65536
        return list(self.says[:limit]), "length" if limit < len(self.says) else "stop"

    def _usage(self, body: dict[str, Any], spoken: int) -> dict[str, Any]:
        said = spoken * (body.get("n") or 1)
        return {
            "prompt_tokens": 31, "completion_tokens": said, "total_tokens": 31 + said,
            "prompt_tokens_details": {"cached_tokens": 0},
        }  # fmt: skip

    def _chat(self, body: dict[str, Any]) -> Answer:
        if "messages" not in body:
            raise Invalid("missing", ("messages",), "Field required", body)
        if not isinstance(body["messages"], list):
            raise Invalid("list_type", ("messages",), "Input should be a valid list", body["messages"])
        if body.get("stream"):
            return as_stream(self._chat_events(body), held=self.held)
        spoken, reason = self._spoken(body)
        message = {
            "role": "assistant", "content": "".join(spoken), "reasoning": "".join(self.thinks),
            "reasoning_content": None, "tool_calls": None,
        }  # fmt: skip
        choices = [
            {"index": index, "message": message, "finish_reason": reason}
            for index in range(body.get("n") or 1)
        ]
        return as_json({
            "id": str(next(self._ids)), "object": "chat.completion", "created": int(time.time()),
            "model": body.get("model", "default"), "choices": choices, "usage": self._usage(body, len(spoken)),
        })  # fmt: skip

    def _chat_events(self, body: dict[str, Any]) -> Iterator[bytes]:
        spoken, reason = self._spoken(body)
        head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}", "object": "chat.completion.chunk", "created": int(time.time()),
            "model": body.get("model", "default"),
        }  # fmt: skip
        extra = {"logprobs": None, "token_ids": None, "stop_reason": None}
        first = {"role": "assistant", "content": "", "reasoning": None, "tool_calls": None}
        yield sse({**head, "choices": [{"index": 0, "delta": first, "finish_reason": None, **extra}]})
        deltas = [{"reasoning": token, "content": None} for token in self.thinks]
        deltas += [{"content": token, "reasoning": None} for token in spoken]
        for delta in deltas:
            yield sse({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None, **extra}]})
        yield sse({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason, **extra}]})
        yield sse({**head, "choices": [], "usage": self._usage(body, len(spoken))})
        yield DONE

    def _completion(self, body: dict[str, Any]) -> Answer:
        if "prompt" not in body:
            raise Invalid("missing", ("prompt",), "Field required", body)
        prompt = body["prompt"]
        if not prompt:
            raise Refused("Prompt cannot be empty")
        if body.get("suffix"):
            raise Refused("The suffix parameter is not currently supported")
        count = len(prompt) if isinstance(prompt, list) and isinstance(prompt[0], str | list) else 1
        if body.get("stream"):
            if count > 1:
                raise Refused("Streaming with multiple prompts is not supported")
            return as_stream(self._completion_events(body), held=self.held)
        spoken, reason = self._spoken(body)
        choices = [
            {"index": index, "text": "".join(spoken), "logprobs": None, "finish_reason": reason}
            for index in range(count)
        ]
        return as_json({
            "id": str(next(self._ids)), "object": "text_completion", "created": int(time.time()),
            "model": body.get("model", "default"), "choices": choices, "usage": self._usage(body, len(spoken)),
        })  # fmt: skip

    def _completion_events(self, body: dict[str, Any]) -> Iterator[bytes]:
        spoken, reason = self._spoken(body)
        head = {
            "id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time()),
            "model": body.get("model", "default"),
        }  # fmt: skip
        for number, token in enumerate(spoken, start=1):
            end = reason if number == len(spoken) else None
            choice = {"index": 0, "text": token, "logprobs": None, "finish_reason": end}
            yield sse({**head, "choices": [choice], "usage": None})
        yield sse({**head, "choices": [], "usage": self._usage(body, len(spoken))})
        yield DONE
